import okhttp3.*;

public class ImageServlet extends HttpServlet {
    private final OkHttpClient client = new OkHttpClient();

    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        int id = Integer.parseInt(request.getParameter("id"));
        Request req = new Request.Builder().url("https://img.example.org/" + id).build();
        try (Response res = client.newCall(req).execute()) {
            response.getOutputStream().write(res.body().bytes());
        }
    }
}
