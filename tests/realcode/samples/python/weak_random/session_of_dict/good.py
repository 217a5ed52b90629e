import secrets


def login(user):
    return {"user": user.name, "session_id": secrets.token_hex(16)}
