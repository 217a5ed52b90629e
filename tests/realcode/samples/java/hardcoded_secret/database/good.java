package shop;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;

class Database {
    Connection connect() throws SQLException {
        return DriverManager.getConnection("jdbc:postgresql://db/shop", "shop", System.getenv("DB_PASSWORD"));
    }
}
