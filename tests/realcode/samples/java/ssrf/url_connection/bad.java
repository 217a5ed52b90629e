package preview;

import java.io.*;
import java.net.HttpURLConnection;
import java.net.URL;
import javax.servlet.http.*;

public class ProxyServlet extends HttpServlet {
    @Override
    protected void doPost(HttpServletRequest req, HttpServletResponse resp) throws IOException {
        String target = "http://" + req.getParameter("host") + "/status";
        URL url = new URL(target);
        HttpURLConnection connection = (HttpURLConnection) url.openConnection();
        connection.getInputStream().transferTo(resp.getOutputStream());
    }
}
