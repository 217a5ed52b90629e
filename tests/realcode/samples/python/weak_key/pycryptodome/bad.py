from Crypto.PublicKey import RSA

BITS = 1024

key = RSA.generate(BITS)
with open("key.pem", "wb") as file:
    file.write(key.export_key())
