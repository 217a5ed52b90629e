using System.Net.Http;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Mvc;

public class PreviewController : ControllerBase
{
    private static readonly HttpClient Client = new HttpClient();

    [HttpGet("/preview")]
    public async Task<string> Preview([FromQuery] string url)
    {
        return await Client.GetStringAsync(url);
    }
}
