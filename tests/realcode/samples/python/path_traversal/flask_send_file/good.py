from flask import Flask, request, send_from_directory

app = Flask(__name__)
DOCUMENTS = "/srv/documents"


@app.route("/download")
def download():
    name = request.args.get("file")
    return send_from_directory(DOCUMENTS, name)
