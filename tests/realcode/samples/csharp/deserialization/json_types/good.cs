using Newtonsoft.Json;

public static class Messages
{
    private static readonly JsonSerializerSettings Settings = new JsonSerializerSettings
    {
        MissingMemberHandling = MissingMemberHandling.Error,
    };

    public static Message Read(string text) => JsonConvert.DeserializeObject<Message>(text, Settings);
}
