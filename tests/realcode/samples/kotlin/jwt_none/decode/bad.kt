import com.auth0.jwt.JWT

fun role(header: String): String? {
    val token = JWT.decode(header.removePrefix("Bearer "))
    return token.getClaim("role").asString()
}
