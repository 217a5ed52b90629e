import secrets


def invite(email):
    token = secrets.token_urlsafe(32)
    return f"https://example.com/join?email={email}&token={token}"
