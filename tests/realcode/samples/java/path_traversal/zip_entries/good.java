package files;

import java.io.*;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.*;

class Unpacker {
    void unpack(InputStream source, Path target) throws IOException {
        try (ZipInputStream zip = new ZipInputStream(source)) {
            for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
                Path out = target.resolve(entry.getName()).normalize();
                if (!out.startsWith(target)) {
                    throw new IOException("outside of the folder: " + entry.getName());
                }
                Files.createDirectories(out.getParent());
                Files.copy(zip, out);
            }
        }
    }
}
