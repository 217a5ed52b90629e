from flask import Flask, request

app = Flask(__name__)


@app.route("/search")
def search():
    term = request.args.get("q", "")
    return f"<h2>Results for {term}</h2><ul></ul>"
