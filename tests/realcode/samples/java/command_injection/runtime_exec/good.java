package tools;

import java.io.IOException;
import java.net.InetAddress;
import org.springframework.web.bind.annotation.*;

@RestController
class PingController {
    @GetMapping("/ping")
    String ping(@RequestParam String host) throws IOException, InterruptedException {
        String address = InetAddress.getByName(host).getHostAddress();
        Process process = new ProcessBuilder("ping", "-c", "1", address).start();
        return process.waitFor() == 0 ? "up" : "down";
    }
}
