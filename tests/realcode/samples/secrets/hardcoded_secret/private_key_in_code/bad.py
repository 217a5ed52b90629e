import jwt

KEY = """{{private_key_ec}}"""


def issue(user):
    return jwt.encode({"sub": user}, KEY, algorithm="ES256")
