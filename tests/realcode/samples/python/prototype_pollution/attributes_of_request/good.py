from flask import request, Blueprint, jsonify

bp = Blueprint("users", __name__)


@bp.put("/me")
def update(current):
    current.name = request.json["name"]
    current.city = request.json["city"]
    current.save()
    return jsonify(current.as_dict())
