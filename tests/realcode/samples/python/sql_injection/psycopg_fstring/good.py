import psycopg


class Accounts:
    def __init__(self, dsn):
        self.connection = psycopg.connect(dsn)

    def find(self, email):
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT id, name FROM accounts WHERE email = %s", (email,))
            return cursor.fetchone()
