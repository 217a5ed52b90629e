"""Checks an ID token (OpenID Connect Core 3.1.3.7): who signed it, for whom, when, which nonce.

Pure, but for the clock. The algorithm comes from a list of ours, never from the token alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Signatures with a public key; `none` and those with a shared secret are not among them."""
LEEWAY_S = 60
OLDEST_S = 900
"""How long ago an ID token may have been made."""
LONGEST = 16 * 1024
LEAST_RSA = 2048
_KINDS = {"R": "RSA", "P": "RSA", "E": "EC"}
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class BadIdToken(Exception):
    """Why an ID token is not believed; the text holds nothing of it."""


class NoSuchKey(BadIdToken):
    """It is signed with a key that is not among those known: there may be newer ones."""


class Expected(NamedTuple):
    """What an ID token has to say."""

    issuer: str
    client_id: str
    nonce: str
    algorithms: Collection[str] = ALGORITHMS


def check(token: str, keys: list[dict[str, Any]], expected: Expected) -> dict[str, Any]:
    """Return its claims. Raises BadIdToken."""
    algorithm, key = _key(token, keys, expected.algorithms)
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=expected.client_id,
            issuer=expected.issuer,
            leeway=LEEWAY_S,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except jwt.PyJWTError as error:
        raise BadIdToken(type(error).__name__) from None
    _check_claims(claims, expected)
    return claims


def check_access(claims: Mapping[str, Any], access: str, algorithm: str) -> None:
    """Check that an access token came with this ID token, where it says so. Raises BadIdToken."""
    if (said := claims.get("at_hash")) is None:
        return
    make = _HASHES.get(algorithm[-3:], hashlib.sha512)
    whole = make(access.encode()).digest()
    right = base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode()
    if not hmac.compare_digest(str(said).encode(), right.encode()):
        raise BadIdToken("at_hash")


def algorithm_of(token: str) -> str:
    """The algorithm that its header names. Raises BadIdToken."""
    return str(_header(token).get("alg", ""))


def _header(token: str) -> dict[str, Any]:
    if len(token) > LONGEST:
        raise BadIdToken("too long")
    try:
        return jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise BadIdToken(type(error).__name__) from None


def _key(token: str, keys: list[dict[str, Any]], allowed: Collection[str]) -> tuple[str, Any]:
    header = _header(token)
    algorithm, kid = str(header.get("alg", "")), header.get("kid")
    if algorithm not in ALGORITHMS or algorithm not in allowed:
        raise BadIdToken(f"signed with {algorithm[:16]!r}")
    kind = "OKP" if algorithm == "EdDSA" else _KINDS[algorithm[0]]
    fitting = [
        one
        for one in keys
        if one.get("kty") == kind
        and one.get("use", "sig") == "sig"
        and one.get("alg", algorithm) == algorithm
        and (kid is None or one.get("kid") == kid)
    ]
    if not fitting:
        raise NoSuchKey("its key is not known")
    if len(fitting) > 1:
        raise BadIdToken("it does not say which of several keys")
    try:
        made = jwt.PyJWK(fitting[0], algorithm).key
    except (jwt.PyJWTError, ValueError) as error:
        raise BadIdToken(type(error).__name__) from None
    if isinstance(made, RSAPublicKey) and made.key_size < LEAST_RSA:
        raise BadIdToken(f"its key has {made.key_size} bits")
    return algorithm, made


def _check_claims(claims: Mapping[str, Any], expected: Expected) -> None:
    audience, azp = claims["aud"], claims.get("azp")
    if isinstance(audience, list) and len(audience) > 1 and azp is None:
        raise BadIdToken("it is for several and says not for whom (azp)")
    if azp is not None and azp != expected.client_id:
        raise BadIdToken("it was made for another client (azp)")
    if claims["iat"] < time.time() - OLDEST_S:
        raise BadIdToken("it is too old (iat)")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode("utf-8", "surrogatepass"), expected.nonce.encode()
    ):
        raise BadIdToken("it is for another sign-in (nonce)")
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise BadIdToken("it says not who has come (sub)")
