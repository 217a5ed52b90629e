package keys;

import java.util.Random;

class ResetTokens {
    private static final String ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";
    private final Random random = new Random();

    String newToken() {
        StringBuilder token = new StringBuilder();
        for (int i = 0; i < 32; i++) {
            token.append(ALPHABET.charAt(random.nextInt(ALPHABET.length())));
        }
        return token.toString();
    }
}
