using System.IO;

public static class Export
{
    public static string Write(string rows)
    {
        var path = Path.GetTempFileName();
        File.WriteAllText(path, rows);
        return path;
    }
}
