using Microsoft.IdentityModel.Tokens;

public static class Tokens
{
    public static TokenValidationParameters Parameters() => new TokenValidationParameters
    {
        ValidateIssuer = true,
        ValidIssuer = "shop",
        RequireSignedTokens = false,
    };
}
