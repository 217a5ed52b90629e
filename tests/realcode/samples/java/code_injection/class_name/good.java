public class PluginServlet extends HttpServlet {
    private static final Map<String, Supplier<Handler>> HANDLERS = Map.of("csv", CsvHandler::new, "pdf", PdfHandler::new);

    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        Supplier<Handler> made = HANDLERS.get(request.getParameter("handler"));
        if (made == null) {
            response.sendError(404);
            return;
        }
        made.get().handle(request, response);
    }
}
