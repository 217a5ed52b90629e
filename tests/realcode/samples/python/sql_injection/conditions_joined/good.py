COLUMNS = {"name": "name", "email": "email", "city": "city"}


def search_users(cursor, filters):
    conditions, values = [], []
    for column in filters:
        conditions.append("%s = ?" % COLUMNS[column])
        values.append(filters[column])
    sql = "SELECT * FROM users"
    if conditions:
        sql += " WHERE " + " AND ".join(conditions)
    cursor.execute(sql, values)
    return cursor.fetchall()
