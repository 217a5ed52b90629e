def search_users(cursor, filters):
    conditions = []
    for column, value in filters.items():
        conditions.append(f"{column} = '{value}'")
    sql = "SELECT * FROM users"
    if conditions:
        sql += " WHERE " + " AND ".join(conditions)
    cursor.execute(sql)
    return cursor.fetchall()
