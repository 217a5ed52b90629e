using System.Security.Cryptography;

public static class Vault
{
    public static byte[] Seal(byte[] key, byte[] data, byte[] tag)
    {
        var nonce = RandomNumberGenerator.GetBytes(12);
        var sealedData = new byte[data.Length];
        using var aes = new AesGcm(key, 16);
        aes.Encrypt(nonce, data, sealedData, tag);
        return sealedData;
    }
}
