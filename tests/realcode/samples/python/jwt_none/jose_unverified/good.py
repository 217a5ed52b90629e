from jose import jwt


def is_admin(token, key):
    return jwt.decode(token, key, algorithms="ES256").get("role") == "admin"
