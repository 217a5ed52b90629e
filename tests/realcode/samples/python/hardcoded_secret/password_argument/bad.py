import psycopg


def connect():
    return psycopg.connect(host="db.internal", user="shop", password="{{password}}")
