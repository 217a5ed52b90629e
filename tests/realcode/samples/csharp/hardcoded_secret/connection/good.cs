using System;
using System.Data.SqlClient;

public static class Database
{
    public static SqlConnection Open() => new SqlConnection(Environment.GetEnvironmentVariable("SHOP_DATABASE"));
}
