using System.Diagnostics;
using Microsoft.AspNetCore.Mvc;

public class PingController : Controller
{
    [HttpPost]
    public IActionResult Ping(string host)
    {
        var process = Process.Start("/bin/sh", $"-c \"ping -c 1 {host}\"");
        process.WaitForExit();
        return Json(process.ExitCode == 0);
    }
}
