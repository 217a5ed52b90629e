using RazorEngine;
using RazorEngine.Templating;

public class Mails
{
    public string Render(string template, User user)
    {
        return Engine.Razor.RunCompile(template, "mail", typeof(User), user);
    }
}
