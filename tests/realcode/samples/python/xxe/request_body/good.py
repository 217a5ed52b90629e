from defusedxml import ElementTree as ET
from flask import Flask, request

app = Flask(__name__)


@app.post("/import")
def import_feed():
    feed = ET.fromstring(request.data)
    return {"entries": len(feed.findall("entry"))}
