package shop;

import java.util.List;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.stereotype.Repository;

@Repository
public class ProductRepository {
    private final JdbcTemplate jdbc;

    public ProductRepository(JdbcTemplate jdbc) {
        this.jdbc = jdbc;
    }

    public List<Product> search(String name, String category) {
        StringBuilder sql = new StringBuilder("SELECT * FROM product WHERE active = true");
        if (category != null) {
            sql.append(" AND category = '").append(category).append("'");
        }
        sql.append(" AND name LIKE '%").append(name).append("%'");
        return jdbc.query(sql.toString(), Product.MAPPER);
    }
}
