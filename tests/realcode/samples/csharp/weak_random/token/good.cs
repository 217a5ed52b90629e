using System;
using System.Security.Cryptography;

public class Invitations
{
    public string NewToken()
    {
        return Convert.ToHexString(RandomNumberGenerator.GetBytes(32));
    }
}
