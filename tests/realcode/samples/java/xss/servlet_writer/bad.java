package pages;

import java.io.IOException;
import java.io.PrintWriter;
import javax.servlet.http.*;

public class SearchServlet extends HttpServlet {
    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        response.setContentType("text/html");
        PrintWriter out = response.getWriter();
        String term = request.getParameter("q");
        out.println("<h1>Results for " + term + "</h1>");
    }
}
