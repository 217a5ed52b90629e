import ipaddress
import subprocess

from flask import Flask, request

app = Flask(__name__)


@app.route("/ping")
def ping():
    host = str(ipaddress.ip_address(request.args["host"]))
    done = subprocess.run(["ping", "-c", "1", host], capture_output=True, text=True)
    return {"output": done.stdout}
