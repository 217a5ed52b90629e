import io.ktor.server.application.*
import io.ktor.server.response.*
import io.ktor.server.routing.*

fun Route.leave() {
    get("/leave") {
        val to = call.request.queryParameters["to"] ?: "/"
        call.respondRedirect(to)
    }
}
