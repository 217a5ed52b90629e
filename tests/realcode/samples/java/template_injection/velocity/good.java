package mail;

import java.io.StringWriter;
import org.apache.velocity.VelocityContext;
import org.apache.velocity.app.Velocity;

class Greeting {
    String render(String name) {
        VelocityContext context = new VelocityContext();
        context.put("name", name);
        StringWriter writer = new StringWriter();
        Velocity.getTemplate("greeting.vm").merge(context, writer);
        return writer.toString();
    }
}
