import sqlite3

from flask import Flask, g, jsonify, request

app = Flask(__name__)


def database():
    if "db" not in g:
        g.db = sqlite3.connect("shop.db")
    return g.db


@app.get("/orders")
def orders():
    customer = request.args.get("customer", "")
    query = "SELECT id, total FROM orders WHERE customer = ? " + "ORDER BY id"
    rows = database().execute(query, (customer,)).fetchall()
    return jsonify(rows)
