package mail;

import freemarker.template.*;
import java.io.StringWriter;
import java.util.Map;
import javax.servlet.http.HttpServletRequest;

class Preview {
    private final Configuration configuration = new Configuration(Configuration.VERSION_2_3_31);

    String show(HttpServletRequest request) throws Exception {
        String body = request.getParameter("body");
        Template template = configuration.getTemplate("preview.ftlh");
        StringWriter out = new StringWriter();
        template.process(Map.of("body", body), out);
        return out.toString();
    }
}
