using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

var app = WebApplication.Create(args);
app.MapGet("/hello", async (HttpContext context) =>
{
    string name = context.Request.Query["name"];
    context.Response.ContentType = "text/html";
    await context.Response.WriteAsync("<h1>Hello " + name + "</h1>");
});
app.Run();
