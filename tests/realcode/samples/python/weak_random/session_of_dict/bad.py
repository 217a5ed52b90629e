import random as rnd


def login(user):
    return {"user": user.name, "session_id": "%032x" % rnd.getrandbits(128)}
