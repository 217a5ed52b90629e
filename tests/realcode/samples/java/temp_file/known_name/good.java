package files;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

class Export {
    Path write(String rows) throws IOException {
        Path path = Files.createTempFile("export", ".csv");
        return Files.writeString(path, rows);
    }
}
