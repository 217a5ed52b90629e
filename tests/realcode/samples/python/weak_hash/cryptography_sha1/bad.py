from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding


def sign(key, message):
    return key.sign(message, padding.PKCS1v15(), hashes.SHA1())
