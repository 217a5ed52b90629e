from cryptography.hazmat.primitives.ciphers import Cipher, algorithms


def stream(key, data):
    encryptor = Cipher(algorithms.ARC4(key), mode=None).encryptor()
    return encryptor.update(data)
