import hashlib as h

ALGORITHM = "md5"


def fingerprint(path):
    digest = h.new(ALGORITHM)
    with open(path, "rb") as file:
        digest.update(file.read())
    return digest.hexdigest()
