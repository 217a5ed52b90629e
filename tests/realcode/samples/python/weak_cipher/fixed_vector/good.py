import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def encrypt(key, padded):
    iv = os.urandom(16)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return iv + encryptor.update(padded) + encryptor.finalize()
