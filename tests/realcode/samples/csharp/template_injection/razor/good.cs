using RazorEngine;
using RazorEngine.Templating;

public class Mails
{
    private const string Template = "Dear @Model.Name, welcome.";

    public string Render(User user)
    {
        return Engine.Razor.RunCompile(Template, "mail", typeof(User), user);
    }
}
