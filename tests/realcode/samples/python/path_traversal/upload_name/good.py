import os

from flask import Flask, redirect, request
from werkzeug.utils import secure_filename

app = Flask(__name__)
app.config["UPLOADS"] = "/srv/uploads"


@app.post("/upload")
def upload():
    file = request.files["file"]
    file.save(os.path.join(app.config["UPLOADS"], secure_filename(file.filename)))
    return redirect("/files")
