using Microsoft.IdentityModel.Tokens;

public static class Tokens
{
    public static TokenValidationParameters Parameters(SecurityKey key) => new TokenValidationParameters
    {
        ValidateIssuer = true,
        ValidIssuer = "shop",
        ValidateIssuerSigningKey = true,
        IssuerSigningKey = key,
    };
}
