using System;
using System.Security.Cryptography;
using System.Text;

public static class Passwords
{
    public static string Digest(string password)
    {
        using var md5 = MD5.Create();
        return Convert.ToHexString(md5.ComputeHash(Encoding.UTF8.GetBytes(password)));
    }
}
