package files;

import java.io.*;
import javax.servlet.http.*;

public class DownloadServlet extends HttpServlet {
    private static final String FOLDER = "/srv/files/";

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        File file = new File(FOLDER, request.getParameter("name"));
        try (InputStream input = new FileInputStream(file)) {
            input.transferTo(response.getOutputStream());
        }
    }
}
