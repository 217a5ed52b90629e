from hashlib import sha1


def signature(document: bytes) -> str:
    digest = sha1()
    digest.update(document)
    return digest.hexdigest()
