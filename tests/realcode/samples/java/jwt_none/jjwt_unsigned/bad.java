package login;

import io.jsonwebtoken.Claims;
import io.jsonwebtoken.Jwts;

class Claim {
    static String user(String token) {
        Claims claims = (Claims) Jwts.parser().unsecured().build().parse(token).getPayload();
        return claims.getSubject();
    }
}
