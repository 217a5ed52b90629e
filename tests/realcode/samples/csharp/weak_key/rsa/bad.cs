using System.Security.Cryptography;

public static class Issuer
{
    public static RSA Create()
    {
        return RSA.Create(1024);
    }
}
