using System.Net.Http;

public static class Clients
{
    public static HttpClient Create()
    {
        var handler = new HttpClientHandler();
        handler.CheckCertificateRevocationList = true;
        return new HttpClient(handler);
    }
}
