from Crypto.Cipher import AES


def encrypt(key, data):
    mode = AES.MODE_ECB
    return AES.new(key, mode).encrypt(data)
