from flask import Flask, request, jsonify
from pymongo import MongoClient

app = Flask(__name__)
users = MongoClient()["app"]["users"]


@app.post("/login")
def login():
    data = request.get_json()
    user = users.find_one({"name": data["name"], "password": data["password"]})
    return jsonify(ok=user is not None)
