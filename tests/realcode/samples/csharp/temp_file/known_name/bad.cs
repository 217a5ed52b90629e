using System.IO;

public static class Export
{
    public static string Write(string rows)
    {
        var path = Path.Combine(Path.GetTempPath(), "export.csv");
        File.WriteAllText(path, rows);
        return path;
    }
}
