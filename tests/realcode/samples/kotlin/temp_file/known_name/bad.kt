import java.io.File

fun export(rows: List<String>): File {
    val file = File("/tmp/export.csv")
    file.writeText(rows.joinToString("\n"))
    return file
}
