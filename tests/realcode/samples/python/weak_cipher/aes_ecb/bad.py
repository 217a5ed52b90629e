from Crypto.Cipher import AES
from Crypto.Util.Padding import pad


def encrypt(key, text):
    return AES.new(key, AES.MODE_ECB).encrypt(pad(text, AES.block_size))
