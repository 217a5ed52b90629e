using System;
using System.Collections.Generic;
using System.Net.Http;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Mvc;

public class PreviewController : ControllerBase
{
    private static readonly HttpClient Client = new HttpClient();
    private static readonly HashSet<string> Hosts = new() { "images.example.com", "docs.example.com" };

    [HttpGet("/preview")]
    public async Task<ActionResult<string>> Preview([FromQuery] string url)
    {
        var target = new Uri(url);
        if (!Hosts.Contains(target.Host))
        {
            return BadRequest();
        }
        return await Client.GetStringAsync(target);
    }
}
