package shop;

import java.io.IOException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;

public class OrderServlet extends HttpServlet {
    private final Database database = Database.shared();

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String customer = request.getParameter("customer");
        try (Connection connection = database.connect(); Statement statement = connection.createStatement()) {
            String query = "SELECT id, total FROM orders WHERE customer = '" + customer + "' ORDER BY id";
            ResultSet rows = statement.executeQuery(query);
            while (rows.next()) {
                response.getWriter().println(rows.getLong("id"));
            }
        } catch (SQLException error) {
            response.sendError(500);
        }
    }
}
