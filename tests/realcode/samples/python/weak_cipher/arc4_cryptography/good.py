import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def stream(key, data):
    nonce = os.urandom(12)
    encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    return nonce, encryptor.update(data) + encryptor.finalize(), encryptor.tag
