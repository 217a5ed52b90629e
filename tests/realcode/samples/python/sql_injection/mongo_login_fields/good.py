from flask import Flask, request, jsonify
from pymongo import MongoClient
from werkzeug.security import check_password_hash

app = Flask(__name__)
users = MongoClient()["app"]["users"]


@app.post("/login")
def login():
    data = request.get_json()
    user = users.find_one({"name": str(data["name"])})
    return jsonify(ok=user is not None and check_password_hash(user["hash"], str(data["password"])))
