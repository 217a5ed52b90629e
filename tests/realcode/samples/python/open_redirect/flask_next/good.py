from urllib.parse import urlsplit

from flask import Flask, redirect, request, session

app = Flask(__name__)


def is_local(target):
    parts = urlsplit(target)
    return not parts.scheme and not parts.netloc and target.startswith("/")


@app.post("/login")
def login():
    session["user"] = request.form["user"]
    target = request.args.get("next") or "/"
    if not is_local(target):
        target = "/"
    return redirect(target)
