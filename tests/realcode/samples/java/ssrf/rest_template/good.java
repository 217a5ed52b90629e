package preview;

import java.net.URI;
import java.util.Set;
import org.springframework.web.bind.annotation.*;
import org.springframework.web.client.RestTemplate;

@RestController
class PreviewController {
    private static final Set<String> HOSTS = Set.of("images.example.com", "docs.example.com");
    private final RestTemplate rest = new RestTemplate();

    @GetMapping("/preview")
    String preview(@RequestParam("url") String url) {
        URI target = URI.create(url);
        if (!"https".equals(target.getScheme()) || !HOSTS.contains(target.getHost())) {
            throw new IllegalArgumentException("not an allowed address");
        }
        return rest.getForObject(target, String.class);
    }
}
