package shop;

import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;

public class OrderServlet extends HttpServlet {
    private static final String QUERY = "SELECT id, total FROM orders WHERE customer = ? ORDER BY id";
    private final Database database = Database.shared();

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String customer = request.getParameter("customer");
        try (Connection connection = database.connect();
                PreparedStatement statement = connection.prepareStatement(QUERY)) {
            statement.setString(1, customer);
            ResultSet rows = statement.executeQuery();
            while (rows.next()) {
                response.getWriter().println(rows.getLong("id"));
            }
        } catch (SQLException error) {
            response.sendError(500);
        }
    }
}
