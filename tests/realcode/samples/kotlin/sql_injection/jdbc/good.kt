import java.sql.Connection

class UserDao(private val connection: Connection) {
    fun find(name: String): String? {
        val statement = connection.prepareStatement("SELECT email FROM users WHERE name = ?")
        statement.setString(1, name)
        val rs = statement.executeQuery()
        return if (rs.next()) rs.getString(1) else null
    }
}
