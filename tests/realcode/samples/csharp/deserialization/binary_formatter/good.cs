using System.IO;
using System.Text.Json;

public class Store
{
    public Cart Read(Stream stream)
    {
        return JsonSerializer.Deserialize<Cart>(stream);
    }
}
