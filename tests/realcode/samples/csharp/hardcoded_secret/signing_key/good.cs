using System;
using System.Text;
using Microsoft.IdentityModel.Tokens;

public static class Signing
{
    private static readonly string JwtSecret = Environment.GetEnvironmentVariable("JWT_SECRET");

    public static SecurityKey Key() => new SymmetricSecurityKey(Encoding.UTF8.GetBytes(JwtSecret));
}
