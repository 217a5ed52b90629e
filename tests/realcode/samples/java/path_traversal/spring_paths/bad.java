package files;

import java.io.IOException;
import java.nio.file.*;
import org.springframework.web.bind.annotation.*;

@RestController
@RequestMapping("/reports")
class ReportController {
    private final Path root = Paths.get("/var/reports");

    @GetMapping("/{name}")
    byte[] report(@PathVariable("name") String name) throws IOException {
        Path path = root.resolve(name + ".pdf");
        return Files.readAllBytes(path);
    }
}
