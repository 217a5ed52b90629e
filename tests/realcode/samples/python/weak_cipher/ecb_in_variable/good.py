from Crypto.Cipher import AES


def encrypt(key, data):
    mode = AES.MODE_EAX
    return AES.new(key, mode).encrypt_and_digest(data)
