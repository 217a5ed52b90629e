package mail;

import freemarker.template.*;
import java.io.StringReader;
import java.io.StringWriter;
import java.util.Map;
import javax.servlet.http.HttpServletRequest;

class Preview {
    private final Configuration configuration = new Configuration(Configuration.VERSION_2_3_31);

    String show(HttpServletRequest request) throws Exception {
        String body = request.getParameter("body");
        Template template = new Template("preview", new StringReader("<p>" + body + "</p>"), configuration);
        StringWriter out = new StringWriter();
        template.process(Map.of(), out);
        return out.toString();
    }
}
