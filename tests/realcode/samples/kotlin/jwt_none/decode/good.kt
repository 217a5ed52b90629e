import com.auth0.jwt.JWT
import com.auth0.jwt.algorithms.Algorithm

fun role(header: String, algorithm: Algorithm): String? {
    val token = JWT.require(algorithm).build().verify(header.removePrefix("Bearer "))
    return token.getClaim("role").asString()
}
