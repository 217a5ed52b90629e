package tools;

import java.io.IOException;
import org.springframework.web.bind.annotation.*;

@RestController
class PingController {
    @GetMapping("/ping")
    String ping(@RequestParam String host) throws IOException, InterruptedException {
        Process process = Runtime.getRuntime().exec("ping -c 1 " + host);
        return process.waitFor() == 0 ? "up" : "down";
    }
}
