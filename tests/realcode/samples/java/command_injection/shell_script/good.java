package tools;

import java.io.File;
import java.io.IOException;
import java.util.List;

class Archiver {
    void pack(File folder, String name) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(List.of("tar", "czf", name + ".tar.gz", "--", "."));
        builder.directory(folder);
        builder.inheritIO().start();
    }
}
