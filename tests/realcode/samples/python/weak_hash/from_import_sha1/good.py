from hashlib import sha256


def signature(document: bytes) -> str:
    digest = sha256()
    digest.update(document)
    return digest.hexdigest()
