import kotlin.io.path.createTempFile
import kotlin.io.path.writeText

fun export(rows: List<String>) =
    createTempFile("export", ".csv").apply { writeText(rows.joinToString("\n")) }
