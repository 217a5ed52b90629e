import os

from flask import Flask, request, send_file

app = Flask(__name__)
DOCUMENTS = "/srv/documents"


@app.route("/download")
def download():
    name = request.args.get("file")
    return send_file(os.path.join(DOCUMENTS, name))
