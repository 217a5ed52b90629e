from flask import Flask, request
from lxml import etree as ET

app = Flask(__name__)


@app.post("/import")
def import_feed():
    feed = ET.fromstring(request.data)
    return {"entries": len(feed.findall("entry"))}
