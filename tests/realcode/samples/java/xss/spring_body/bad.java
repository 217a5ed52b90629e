package pages;

import org.springframework.http.MediaType;
import org.springframework.web.bind.annotation.*;

@RestController
class HelloController {
    @GetMapping(value = "/hello", produces = MediaType.TEXT_HTML_VALUE)
    public String hello(@RequestParam String name) {
        return "<html><body>Hello " + name + "</body></html>";
    }
}
