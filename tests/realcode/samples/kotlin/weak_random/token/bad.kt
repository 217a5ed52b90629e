import kotlin.random.Random

fun newToken(): String {
    val chars = ('a'..'z') + ('0'..'9')
    return (1..32).map { chars[Random.nextInt(chars.size)] }.joinToString("")
}
