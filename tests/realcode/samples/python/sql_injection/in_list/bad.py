import sqlite3


def names(path, ids):
    with sqlite3.connect(path) as connection:
        wanted = ", ".join(ids)
        return connection.execute("SELECT name FROM people WHERE id IN (%s)" % wanted).fetchall()
