using System;
using System.Security.Cryptography;

public static class Passwords
{
    public static string Digest(string password, byte[] salt)
    {
        var key = Rfc2898DeriveBytes.Pbkdf2(password, salt, 600_000, HashAlgorithmName.SHA256, 32);
        return Convert.ToHexString(key);
    }
}
