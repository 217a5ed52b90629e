"""Public keys as JSON Web Keys (RFC 7517, RFC 8037) and their thumbprints (RFC 7638).

A key has one algorithm, by its type. Nobody who holds a token can choose another one for it.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Literal, TypeAlias

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

Algorithm = Literal["RS256", "EdDSA"]
Public: TypeAlias = rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class Rsa(msgspec.Struct, frozen=True, tag_field="kty", tag="RSA"):
    """An RSA key: signs with RS256."""

    e: str
    n: str
    alg: Literal["RS256"] = "RS256"

    @property
    def required(self) -> dict[str, str]:
        """The members that make up the thumbprint."""
        return {"e": self.e, "kty": "RSA", "n": self.n}


class Okp(msgspec.Struct, frozen=True, tag_field="kty", tag="OKP"):
    """An Ed25519 key: signs with EdDSA."""

    x: str
    crv: Literal["Ed25519"]
    alg: Literal["EdDSA"] = "EdDSA"

    @property
    def required(self) -> dict[str, str]:
        """The members that make up the thumbprint."""
        return {"crv": self.crv, "kty": "OKP", "x": self.x}


Jwk: TypeAlias = Rsa | Okp


def read(jwk: dict[str, Any]) -> Jwk:
    """Read a public JWK of one of our two kinds. Raises msgspec.ValidationError for any other."""
    found: Jwk = msgspec.convert(jwk, Jwk)
    return found


def public_jwk(key: Public) -> dict[str, Any]:
    """Return the public JWK with its thumbprint as `kid`."""
    known = _jwk(key)
    names = {"kid": _thumbprint(known), "use": "sig", "alg": known.alg}
    return known.required | names


def thumbprint(jwk: dict[str, Any]) -> str:
    """Return the thumbprint of a public JWK; it is also a valid subject token.

    Raises msgspec.ValidationError for a key that is neither RSA nor Ed25519.
    """
    return _thumbprint(read(jwk))


def _jwk(key: Public) -> Jwk:
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return Rsa(e=_number(numbers.e), n=_number(numbers.n))
    return Okp(x=_text(key.public_bytes_raw()), crv="Ed25519")


def _thumbprint(jwk: Jwk) -> str:
    return _text(hashlib.sha256(msgspec.json.encode(jwk.required, order="sorted")).digest())


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
