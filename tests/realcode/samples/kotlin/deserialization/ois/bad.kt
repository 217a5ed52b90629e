import java.io.ObjectInputStream
import java.net.Socket

fun receive(socket: Socket): Any? {
    val input = ObjectInputStream(socket.getInputStream())
    return input.readObject()
}
