import hashlib
import time


def invite(email):
    token = hashlib.sha256(str(time.time()).encode()).hexdigest()
    return f"https://example.com/join?email={email}&token={token}"
