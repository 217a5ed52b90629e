import base64
import json

from flask import Flask, request

app = Flask(__name__)


@app.route("/basket")
def basket():
    raw = base64.b64decode(request.cookies["basket"])
    return {"items": json.loads(raw)}
