import hashlib as h

ALGORITHM = "sha3_256"


def fingerprint(path):
    digest = h.new(ALGORITHM)
    with open(path, "rb") as file:
        digest.update(file.read())
    return digest.hexdigest()
