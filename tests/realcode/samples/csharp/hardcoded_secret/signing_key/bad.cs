using System.Text;
using Microsoft.IdentityModel.Tokens;

public static class Signing
{
    private const string JwtSecret = "{{password}}";

    public static SecurityKey Key() => new SymmetricSecurityKey(Encoding.UTF8.GetBytes(JwtSecret));
}
