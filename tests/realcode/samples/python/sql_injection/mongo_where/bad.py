from flask import Flask, request, jsonify
from pymongo import MongoClient

app = Flask(__name__)
users = MongoClient()["app"]["users"]


@app.post("/find")
def find():
    name = request.json["name"]
    return jsonify(list(users.find({"$where": "this.name == '" + name + "'"})))
