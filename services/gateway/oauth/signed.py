"""Access tokens of clients: JWTs (RFC 9068) that our own key has signed, for our own resource."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from typing import NamedTuple

import jwt
import msgspec

from services.gateway.oauth.keys import SharedKey
from services.gateway.oauth.places import OAuthPlaces
from services.process.ids import new_id

ACCESS_S = 1800
SKEW_S = 5
"""By so much the clocks of gateways may differ."""
TYPE = "at+jwt"
LONGEST = 8192
REFRESH = "mtr_"
_REFRESH = re.compile(r"mtr_([A-Za-z0-9-]{1,64})\.(\d{1,9})\.([A-Za-z0-9_-]{43})")
_REQUIRED = ["iss", "aud", "sub", "exp", "iat", "jti"]


class AccessClaims(msgspec.Struct, frozen=True):
    """What an access token says."""

    sub: str
    """The user's name."""
    client_id: str
    scope: str
    gid: str
    """The grant that it comes from; of a client that acts as its own service, the client."""
    epoch: int
    exp: int


class RefreshShown(NamedTuple):
    """A refresh token that was derived from our secret."""

    grant: str
    number: int


def sign(key: SharedKey, at: OAuthPlaces, claims: AccessClaims, now: float) -> str:
    """Return the token."""
    body = msgspec.structs.asdict(claims) | {
        "iss": at.issuer,
        "aud": at.resource,
        "iat": int(now),
        "jti": new_id(),
    }
    headers = {"typ": TYPE, "kid": key.jwk["kid"]}
    return jwt.encode(body, key.private, algorithm="EdDSA", headers=headers)


def is_jwt(token: str) -> bool:
    """Whether it can be one, and is not too long to look at."""
    return token.count(".") == 2 and len(token) <= LONGEST and not token.startswith(REFRESH)


def read(key: SharedKey, at: OAuthPlaces, token: str) -> AccessClaims | None:
    """Return what a token of ours says that has not expired; None: it is none.

    Its own header chooses neither the key nor the algorithm.
    """
    try:
        header = jwt.get_unverified_header(token)
        if header.get("typ") != TYPE or header.get("kid") != key.jwk["kid"]:
            return None
        found = jwt.decode(
            token,
            key.public,
            algorithms=["EdDSA"],
            audience=at.resource,
            issuer=at.issuer,
            leeway=SKEW_S,
            options={"require": _REQUIRED},
        )
        return msgspec.convert(found, AccessClaims)
    except (jwt.PyJWTError, msgspec.ValidationError, UnicodeError, RecursionError):
        return None


def refresh_token(key: SharedKey, grant: str, number: int) -> str:
    """The n-th refresh token of a grant: derived, so that nobody stores it."""
    return f"{REFRESH}{grant}.{number}.{_mac(key, grant, number)}"


def read_refresh(key: SharedKey, token: str) -> RefreshShown | None:
    """Return which one it is; None: it is none of ours."""
    found = _REFRESH.fullmatch(token)
    if found is None:
        return None
    grant, number = found[1], int(found[2])
    if not hmac.compare_digest(found[3], _mac(key, grant, number)):
        return None
    return RefreshShown(grant, number)


def _mac(key: SharedKey, grant: str, number: int) -> str:
    made = hmac.digest(key.secret, f"refresh/{grant}/{number}".encode(), hashlib.sha256)
    return urlsafe_b64encode(made).rstrip(b"=").decode()
