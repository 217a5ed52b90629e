import urllib3
from flask import request


def check():
    http = urllib3.PoolManager()
    r = http.request("GET", "https://status.example.org/health")
    return {"status": r.status}
