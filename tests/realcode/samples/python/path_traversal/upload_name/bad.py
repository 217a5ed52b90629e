import os

from flask import Flask, redirect, request

app = Flask(__name__)
app.config["UPLOADS"] = "/srv/uploads"


@app.post("/upload")
def upload():
    file = request.files["file"]
    file.save(os.path.join(app.config["UPLOADS"], file.filename))
    return redirect("/files")
