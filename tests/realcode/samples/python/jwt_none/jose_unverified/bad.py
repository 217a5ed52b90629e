from jose import jwt


def is_admin(token):
    return jwt.get_unverified_claims(token).get("role") == "admin"
