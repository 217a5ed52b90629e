using System.IO;
using Microsoft.AspNetCore.Mvc;

public class FilesController : Controller
{
    private const string Folder = "/srv/files";

    [HttpGet("/files/{name}")]
    public IActionResult Download(string name)
    {
        var path = Path.GetFullPath(Path.Combine(Folder, name));
        if (!path.StartsWith(Folder + Path.DirectorySeparatorChar))
        {
            return NotFound();
        }
        return File(System.IO.File.ReadAllBytes(path), "application/octet-stream");
    }
}
