package files;

import java.io.FileWriter;
import java.io.IOException;

class Export {
    void write(String rows) throws IOException {
        try (FileWriter writer = new FileWriter("/tmp/export.csv")) {
            writer.write(rows);
        }
    }
}
