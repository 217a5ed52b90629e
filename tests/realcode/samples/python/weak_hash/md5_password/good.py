import hashlib
import os


def store(users, name, password):
    salt = os.urandom(16)
    users[name] = salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)
