public class PluginServlet extends HttpServlet {
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String name = request.getParameter("handler");
        try {
            Class<?> cls = Class.forName(name);
            Handler h = (Handler) cls.getDeclaredConstructor().newInstance();
            h.handle(request, response);
        } catch (ReflectiveOperationException e) {
            response.sendError(500);
        }
    }
}
