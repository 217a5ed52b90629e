import sqlite3


def names(path, ids):
    with sqlite3.connect(path) as connection:
        marks = ", ".join("?" for _ in ids)
        return connection.execute("SELECT name FROM people WHERE id IN (%s)" % marks, ids).fetchall()
