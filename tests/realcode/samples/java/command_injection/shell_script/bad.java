package tools;

import java.io.File;
import java.io.IOException;
import java.util.List;

class Archiver {
    void pack(File folder, String name) throws IOException {
        String line = "tar czf " + name + ".tar.gz .";
        ProcessBuilder builder = new ProcessBuilder(List.of("/bin/bash", "-c", line));
        builder.directory(folder);
        builder.inheritIO().start();
    }
}
