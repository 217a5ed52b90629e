package net;

import java.io.InputStream;
import java.util.Map;
import org.yaml.snakeyaml.Yaml;

class Settings {
    Map<String, Object> read(InputStream input) {
        Yaml yaml = new Yaml();
        return yaml.load(input);
    }
}
