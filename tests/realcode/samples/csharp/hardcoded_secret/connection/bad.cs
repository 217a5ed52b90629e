using System.Data.SqlClient;

public static class Database
{
    private const string Connection = "Server=db;Database=shop;User Id=shop;Password={{password}}";

    public static SqlConnection Open() => new SqlConnection(Connection);
}
