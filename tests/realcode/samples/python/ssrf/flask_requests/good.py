from urllib.parse import urlsplit

import requests
from flask import Flask, Response, abort, request

app = Flask(__name__)
HOSTS = {"images.example.com", "static.example.com"}


@app.route("/proxy")
def proxy():
    url = request.args.get("url")
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname not in HOSTS:
        abort(400)
    answer = requests.get(url, timeout=5, allow_redirects=False)
    return Response(answer.content, mimetype="image/png")
