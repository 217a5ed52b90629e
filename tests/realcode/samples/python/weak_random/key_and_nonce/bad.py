import random
from Crypto.Cipher import AES


def encrypt(data):
    key = bytes(random.getrandbits(8) for _ in range(32))
    iv = random.randbytes(16)
    return AES.new(key, AES.MODE_CBC, iv).encrypt(data)


def csrf():
    return "%032x" % random.getrandbits(128)
