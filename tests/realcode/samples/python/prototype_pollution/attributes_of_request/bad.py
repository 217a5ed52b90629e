from flask import request, Blueprint, jsonify

bp = Blueprint("users", __name__)


@bp.put("/me")
def update(current):
    for key, value in request.json.items():
        setattr(current, key, value)
    current.save()
    return jsonify(current.as_dict())
