#include <sqlite3.h>
#include <stdio.h>

int remove_user(sqlite3 *db, const char *name)
{
    sqlite3_stmt *statement;
    sqlite3_prepare_v2(db, "DELETE FROM users WHERE name = ?", -1, &statement, NULL);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_TRANSIENT);
    int result = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return result;
}
