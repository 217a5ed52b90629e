"""The permit key: made once, private to the data folder, loaded once; signs and verifies permits.

Only an executor reads the private half; everybody else works with the public JWK from the log.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from contracts.wire import PermitClaims

ALGORITHM = "RS256"
BITS = 2048
_NO_TIME = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}


_jws = jwt.PyJWS()
"""`jwt.encode` without its checks of claims we build ourselves."""


class BadKey(Exception):
    """The key file can't be used; the message says why and what to do."""


class BadPermit(Exception):
    """The token is no valid permit of this key; the message says why."""


class SigningKey:
    """A private key and the names of its public half."""

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self._private = private
        self.jwk = public_jwk(private.public_key())
        """Public half, as `log.key` and the JWKS carry it."""
        self.kid: str = self.jwk["kid"]
        self._head = {"kid": self.kid}

    def sign(self, claims: PermitClaims) -> str:
        """Return the JWT. Takes 0.3 ms of the calling thread; a thread of its own is slower."""
        payload = msgspec.json.encode(claims)
        return _jws.encode(payload, self._private, algorithm=ALGORITHM, headers=self._head)


def key_path(data: Path) -> Path:
    """Where the permit key of a data folder lies."""
    return data / "keys" / "permit.pem"


def load_or_create(path: Path) -> SigningKey:
    """Load the key, making it first if there is none; all who start at once get the same one.

    Raises BadKey if others may read the file or it holds no RSA key, OSError if it can't be
    written.
    """
    if not path.exists():
        _create(path)
    _check_private(path)
    return SigningKey(_load(path))


def public_jwk(key: rsa.RSAPublicKey) -> dict[str, Any]:
    """Return the public JWK (RFC 7517) with its thumbprint as `kid`."""
    numbers = key.public_numbers()
    required = {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}
    return required | {"kid": thumbprint(required), "use": "sig", "alg": ALGORITHM}


def thumbprint(jwk: dict[str, Any]) -> str:
    """Return the RFC 7638 thumbprint of an RSA key; it is also a valid subject token."""
    required = {name: jwk[name] for name in ("e", "kty", "n")}
    return _text(hashlib.sha256(msgspec.json.encode(required, order="sorted")).digest())


def verify(
    token: str, jwk: dict[str, Any], *, audience: str | None = None, at: float | None = None
) -> PermitClaims:
    """Check signature, key id, and if given the audience and the moment `at` (seconds since epoch).

    An audit passes the log time of the fact that carries the permit. Raises BadPermit.
    """
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        if kid != thumbprint(jwk):
            raise BadPermit(f"the permit was signed with key {kid}, not with {thumbprint(jwk)}")
        options: Any = _NO_TIME | {"verify_aud": audience is not None}
        key = jwt.PyJWK(jwk, algorithm=ALGORITHM)
        raw = jwt.decode(token, key, algorithms=[ALGORITHM], audience=audience, options=options)
        claims = msgspec.convert(raw, PermitClaims)
    except (jwt.PyJWTError, msgspec.ValidationError, KeyError) as error:
        raise BadPermit(f"the permit is not valid: {error}") from error
    if at is not None and not claims.nbf <= at < claims.exp:
        raise BadPermit(f"the permit is valid from {claims.nbf} to {claims.exp}, not at {at:.3f}")
    return claims


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole or not at all, and never replaces the key of somebody who was first.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_private(path: Path) -> None:
    for place, fix in ((path, "600"), (path.parent, "700")):
        mode = stat.S_IMODE(place.stat().st_mode)
        if mode & 0o077:
            raise BadKey(
                f"{place} has mode {mode:o}, so others can reach the permit key."
                f" Run `chmod {fix} {place}`. If others had access, remove the key instead:"
                " a new one is made."
            )


def _load(path: Path) -> rsa.RSAPrivateKey:
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey(
            f"{path} can't be read as a private key: {error}."
            " Restore it, or remove it: a new one is made."
        ) from error
    if not isinstance(private, rsa.RSAPrivateKey):
        raise BadKey(f"{path} holds no RSA key. Remove it: a new one is made.")
    return private


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
