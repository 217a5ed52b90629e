using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

var app = WebApplication.Create(args);
app.MapGet("/hello", async (HttpContext context) =>
{
    string name = context.Request.Query["name"];
    context.Response.ContentType = "text/html";
    await context.Response.WriteAsync("<h1>Hello " + HtmlEncoder.Default.Encode(name) + "</h1>");
});
app.Run();
