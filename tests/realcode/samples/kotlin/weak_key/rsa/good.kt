import java.security.KeyPair
import java.security.KeyPairGenerator

fun signingKeys(): KeyPair {
    val generator = KeyPairGenerator.getInstance("RSA")
    generator.initialize(3072)
    return generator.generateKeyPair()
}
