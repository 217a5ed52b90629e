import urllib3
import urllib.request
from flask import request


def check():
    http = urllib3.PoolManager()
    host = request.form.get("host")
    r = http.request("GET", f"http://{host}/health")
    return {"status": r.status}
