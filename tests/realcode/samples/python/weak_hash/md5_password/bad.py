import hashlib


def store(users, name, password):
    users[name] = hashlib.md5(password.encode()).hexdigest()
