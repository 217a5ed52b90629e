using System.Collections.Generic;
using System.Linq;
using Microsoft.EntityFrameworkCore;

public class ProductRepository
{
    private readonly ShopContext _context;

    public ProductRepository(ShopContext context)
    {
        _context = context;
    }

    public List<Product> Search(string name)
    {
        return _context.Products.FromSqlRaw($"SELECT * FROM Products WHERE Name LIKE '%{name}%'").ToList();
    }
}
