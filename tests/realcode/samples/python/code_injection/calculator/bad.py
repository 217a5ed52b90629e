from flask import Flask, jsonify, request

app = Flask(__name__)


@app.post("/calculate")
def calculate():
    expression = request.get_json()["expression"]
    return jsonify(result=eval(expression))
