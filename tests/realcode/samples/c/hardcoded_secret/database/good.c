#include <mysql/mysql.h>
#include <stdlib.h>

MYSQL *connect_shop(MYSQL *handle)
{
    return mysql_real_connect(handle, "db", "shop", getenv("DB_PASSWORD"), "shop", 0, NULL, 0);
}
