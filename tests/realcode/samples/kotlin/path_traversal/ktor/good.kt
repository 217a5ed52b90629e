import io.ktor.server.application.*
import io.ktor.server.http.content.*
import io.ktor.server.routing.*
import java.io.File

fun Route.files() {
    staticFiles("/files", File("/srv/files"))
}
