from Crypto.Cipher import AES


def encrypt(key, text):
    cipher = AES.new(key, AES.MODE_GCM)
    data, tag = cipher.encrypt_and_digest(text)
    return cipher.nonce + tag + data
