package preview;

import java.io.*;
import java.net.HttpURLConnection;
import java.net.URL;
import java.util.Map;
import javax.servlet.http.*;

public class ProxyServlet extends HttpServlet {
    private static final Map<String, String> HOSTS = Map.of("blue", "10.0.0.7", "green", "10.0.0.8");

    @Override
    protected void doPost(HttpServletRequest req, HttpServletResponse resp) throws IOException {
        String host = HOSTS.get(req.getParameter("host"));
        if (host == null) {
            resp.sendError(400);
            return;
        }
        URL url = new URL("http://" + host + "/status");
        HttpURLConnection connection = (HttpURLConnection) url.openConnection();
        connection.getInputStream().transferTo(resp.getOutputStream());
    }
}
