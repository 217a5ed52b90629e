using System.Diagnostics;
using Microsoft.AspNetCore.Mvc;

public class PingController : Controller
{
    [HttpPost]
    public IActionResult Ping(string host)
    {
        var info = new ProcessStartInfo("ping");
        info.ArgumentList.Add("-c");
        info.ArgumentList.Add("1");
        info.ArgumentList.Add(host);
        var process = Process.Start(info);
        process.WaitForExit();
        return Json(process.ExitCode == 0);
    }
}
