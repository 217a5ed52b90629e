package keys;

import java.security.SecureRandom;
import java.util.HexFormat;

final class Sessions {
    private static final SecureRandom RANDOM = new SecureRandom();

    static String open(Store store, String user) {
        byte[] bytes = new byte[16];
        RANDOM.nextBytes(bytes);
        String sessionId = HexFormat.of().formatHex(bytes);
        store.put(sessionId, user);
        return sessionId;
    }
}
