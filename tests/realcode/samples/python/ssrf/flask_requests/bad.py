import requests
from flask import Flask, Response, request

app = Flask(__name__)


@app.route("/proxy")
def proxy():
    url = request.args.get("url")
    answer = requests.get(url, timeout=5)
    return Response(answer.content, mimetype=answer.headers["content-type"])
