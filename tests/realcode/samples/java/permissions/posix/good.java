import java.nio.file.*;
import java.nio.file.attribute.PosixFilePermissions;

public class KeyStoreWriter {
    public void save(Path path, byte[] data) throws Exception {
        Files.write(path, data);
        Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
    }
}
