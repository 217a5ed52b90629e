package login;

import com.auth0.jwt.JWT;
import com.auth0.jwt.algorithms.Algorithm;
import com.auth0.jwt.interfaces.DecodedJWT;

class Tokens {
    private final Algorithm algorithm;

    Tokens(Algorithm algorithm) {
        this.algorithm = algorithm;
    }

    String subject(String token) {
        DecodedJWT decoded = JWT.require(algorithm).withIssuer("shop").build().verify(token);
        return decoded.getSubject();
    }
}
