from pathlib import Path

import jwt

HEAD = "-----BEGIN EC PRIVATE KEY-----"


def issue(user, path):
    key = Path(path).read_text()
    if not key.startswith(HEAD):
        raise ValueError("this is no private key")
    return jwt.encode({"sub": user}, key, algorithm="ES256")
