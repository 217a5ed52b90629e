#include <mysql/mysql.h>

MYSQL *connect_shop(MYSQL *handle)
{
    return mysql_real_connect(handle, "db", "shop", "{{password}}", "shop", 0, NULL, 0);
}
