import okhttp3.*;

public class ImageServlet extends HttpServlet {
    private final OkHttpClient client = new OkHttpClient();

    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String src = request.getParameter("src");
        Request req = new Request.Builder().url(src).build();
        try (Response res = client.newCall(req).execute()) {
            response.getOutputStream().write(res.body().bytes());
        }
    }
}
