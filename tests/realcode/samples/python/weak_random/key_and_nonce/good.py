import os
import random
from Crypto.Cipher import AES


def encrypt(data):
    key, nonce = os.urandom(32), os.urandom(12)
    return AES.new(key, AES.MODE_GCM, nonce=nonce).encrypt(data)


def backoff(attempt):
    return 2**attempt + random.random()
