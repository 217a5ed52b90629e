import com.fasterxml.jackson.module.kotlin.jacksonObjectMapper
import com.fasterxml.jackson.module.kotlin.readValue
import java.net.Socket

fun receive(socket: Socket): Job = jacksonObjectMapper().readValue(socket.getInputStream())
