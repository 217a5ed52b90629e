using System.Data.SqlClient;
using Microsoft.AspNetCore.Mvc;

[ApiController]
[Route("orders")]
public class OrdersController : ControllerBase
{
    private readonly string _connection;

    public OrdersController(Settings settings) => _connection = settings.Connection;

    [HttpGet]
    public IActionResult Get(string customer)
    {
        using var connection = new SqlConnection(_connection);
        connection.Open();
        var query = "SELECT id, total FROM orders WHERE customer = @customer";
        using var command = new SqlCommand(query, connection);
        command.Parameters.AddWithValue("@customer", customer);
        using var reader = command.ExecuteReader();
        return Ok(Order.ReadAll(reader));
    }
}
