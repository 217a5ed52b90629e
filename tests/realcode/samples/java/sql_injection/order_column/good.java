package shop;

import java.sql.*;
import java.util.Set;

final class Report {
    private static final Set<String> COLUMNS = Set.of("name", "price");
    private final Connection connection;

    Report(Connection connection) {
        this.connection = connection;
    }

    ResultSet sorted(String column) throws SQLException {
        if (!COLUMNS.contains(column)) {
            throw new IllegalArgumentException("no such column: " + column);
        }
        PreparedStatement statement = connection.prepareStatement("SELECT name, price FROM item ORDER BY " + column);
        return statement.executeQuery();
    }
}
