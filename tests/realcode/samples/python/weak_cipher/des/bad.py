from Crypto.Cipher import DES


def seal(key: bytes, card: bytes) -> bytes:
    cipher = DES.new(key, DES.MODE_CBC)
    return cipher.iv + cipher.encrypt(card.ljust(16))
