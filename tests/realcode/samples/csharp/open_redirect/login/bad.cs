using Microsoft.AspNetCore.Mvc;

public class LoginController : Controller
{
    [HttpPost]
    public IActionResult Login(Credentials credentials, string returnUrl)
    {
        if (!SignIn(credentials))
        {
            return View();
        }
        return Redirect(returnUrl);
    }
}
