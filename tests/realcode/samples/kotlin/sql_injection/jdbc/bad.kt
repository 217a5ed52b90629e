import java.sql.Connection

class UserDao(private val connection: Connection) {
    fun find(name: String): String? {
        val statement = connection.createStatement()
        val rs = statement.executeQuery("SELECT email FROM users WHERE name = '$name'")
        return if (rs.next()) rs.getString(1) else null
    }
}
