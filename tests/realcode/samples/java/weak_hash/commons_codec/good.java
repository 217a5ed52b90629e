package keys;

import java.security.MessageDigest;
import org.apache.commons.codec.digest.HmacAlgorithms;
import org.apache.commons.codec.digest.HmacUtils;

class Signatures {
    static boolean matches(String body, String secret, String given) {
        String own = new HmacUtils(HmacAlgorithms.HMAC_SHA_256, secret).hmacHex(body);
        return MessageDigest.isEqual(own.getBytes(), given.getBytes());
    }
}
