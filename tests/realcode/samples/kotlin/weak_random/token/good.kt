import java.security.SecureRandom

fun newToken(): String {
    val random = SecureRandom()
    val chars = ('a'..'z') + ('0'..'9')
    return (1..32).map { chars[random.nextInt(chars.size)] }.joinToString("")
}
