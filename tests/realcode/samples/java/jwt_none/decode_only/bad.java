package login;

import com.auth0.jwt.JWT;
import com.auth0.jwt.interfaces.DecodedJWT;

class Tokens {
    String subject(String token) {
        DecodedJWT decoded = JWT.decode(token);
        return decoded.getSubject();
    }
}
