import hmac
import os


def login(user, password):
    if user == "admin" and hmac.compare_digest(password, os.environ["ADMIN_PASSWORD"]):
        return True
    return False
