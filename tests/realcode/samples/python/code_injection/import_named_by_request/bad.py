from importlib import import_module

from flask import Flask, request

app = Flask(__name__)


@app.route("/export")
def export():
    module = import_module("exporters." + request.args["format"])
    return module.export()
