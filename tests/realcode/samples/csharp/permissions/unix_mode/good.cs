using System.IO;

public static class TokenFile
{
    public static void Save(string path, string token)
    {
        File.WriteAllText(path, token);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }
}
