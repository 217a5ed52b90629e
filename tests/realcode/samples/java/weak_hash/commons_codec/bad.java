package keys;

import org.apache.commons.codec.digest.DigestUtils;

class Signatures {
    static boolean matches(String body, String secret, String given) {
        return DigestUtils.md5Hex(body + secret).equals(given);
    }
}
