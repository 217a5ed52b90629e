import javax.crypto.Cipher;
import javax.crypto.spec.*;
import java.security.SecureRandom;

public class Vault {
    private final SecureRandom random = new SecureRandom();

    public byte[] seal(SecretKeySpec key, byte[] text) throws Exception {
        byte[] nonce = new byte[12];
        random.nextBytes(nonce);
        Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, key, new GCMParameterSpec(128, nonce));
        return cipher.doFinal(text);
    }
}
