package shop;

import java.sql.*;

final class Report {
    private final Connection connection;

    Report(Connection connection) {
        this.connection = connection;
    }

    ResultSet sorted(String column) throws SQLException {
        PreparedStatement statement = connection.prepareStatement("SELECT name, price FROM item ORDER BY " + column);
        return statement.executeQuery();
    }
}
