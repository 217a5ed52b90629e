using System.IO;
using System.Runtime.Serialization.Formatters.Binary;

public class Store
{
    public Cart Read(Stream stream)
    {
        var formatter = new BinaryFormatter();
        return (Cart)formatter.Deserialize(stream);
    }
}
