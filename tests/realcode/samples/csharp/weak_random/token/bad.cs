using System;
using System.Linq;

public class Invitations
{
    private const string Alphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
    private readonly Random _random = new Random();

    public string NewToken()
    {
        return new string(Enumerable.Range(0, 32).Select(_ => Alphabet[_random.Next(Alphabet.Length)]).ToArray());
    }
}
