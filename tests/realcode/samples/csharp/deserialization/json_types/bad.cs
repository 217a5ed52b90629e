using Newtonsoft.Json;

public static class Messages
{
    private static readonly JsonSerializerSettings Settings = new JsonSerializerSettings
    {
        TypeNameHandling = TypeNameHandling.All,
    };

    public static object Read(string text) => JsonConvert.DeserializeObject(text, Settings);
}
