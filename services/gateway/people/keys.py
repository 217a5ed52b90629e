"""What sign-ins are made with: one secret of the installation, sealed, the same at every gateway.

The key of access tokens and the texts of refresh tokens and cookies are derived from it, so that
nothing that lets somebody in is stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.errors import Reason, Rejected
from services.gateway.people.records import RootKey
from services.gateway.people.state import PeopleState
from services.keys.vault import KeyFile, VaultError
from services.process import telemetry

ROOT = "root"
ROOT_BYTES = 32
PURPOSE = "the root of sign-ins"
ISSUER = "metamcp"
ALGORITHM = "EdDSA"
_OPTIONS: Any = {"require": ["exp", "aud", "iss", "sub"], "verify_iat": False}

log = telemetry.get_logger()


class RootKeys:
    """What is derived from one secret. Never shows it."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._private = Ed25519PrivateKey.from_private_bytes(self._derived("access token"))
        self._public = self._private.public_key()

    def sign(self, audience: str, claims: dict[str, Any]) -> str:
        """Return a JWT for this audience; `exp` and `sub` are among the claims."""
        whole = {"iss": ISSUER, "aud": audience} | claims
        return jwt.encode(whole, self._private, ALGORITHM, headers={"typ": "at+jwt"})

    def read(self, audience: str, token: str) -> dict[str, Any] | None:
        """The claims of a JWT that was signed here for this audience and is not over."""
        try:
            found: dict[str, Any] = jwt.decode(
                token,
                self._public,
                algorithms=[ALGORITHM],
                audience=audience,
                issuer=ISSUER,
                options=_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            return None
        return found

    def mark(self, purpose: str, *about: str) -> str:
        """A text that nobody else can make, for this purpose and what it is about."""
        key = self._derived(purpose)
        made = hmac.digest(key, "\0".join(about).encode("utf-8", "surrogatepass"), "sha256")
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()

    def is_mark(self, shown: str, purpose: str, *about: str) -> bool:
        """Whether that is the text; how long it takes says nothing of it."""
        good = self.mark(purpose, *about).encode()
        return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), good)

    def _derived(self, purpose: str) -> bytes:
        return hmac.digest(self._root, f"metamcp {purpose}".encode(), hashlib.sha256)


class SignInKeys:
    """The secret in the bucket: whoever needs it first makes it."""

    def __init__(self, state: PeopleState, key: KeyFile) -> None:
        self._state = state
        self._table = state.table("key", RootKey)
        self._key = key
        self._opened: tuple[bytes, RootKeys | None] = (b"", None)

    @property
    def known(self) -> RootKeys | None:
        """What is derived from it, if it is there and can be opened."""
        held = self._table.get(ROOT)
        if held is None:
            return None
        sealed = held.value.sealed
        if self._opened[0] != sealed:
            self._opened = sealed, self._open(sealed)
        return self._opened[1]

    def check(self) -> None:
        """Raise VaultError if the secret is there and can't be opened."""
        if (held := self._table.get(ROOT)) is not None:
            self._key.vault().unwrap(PURPOSE, held.value.sealed)

    async def ensure(self) -> RootKeys:
        """The same, made if there is none. Raises StoreError, Rejected(UNAVAILABLE).

        Of gateways that do this at once all end with the one of the first.
        """
        if self._table.get(ROOT) is None:
            await self._state.refresh()
        if self._table.get(ROOT) is None:
            secret = secrets.token_bytes(ROOT_BYTES)
            try:
                sealed = self._key.vault().wrap(PURPOSE, secret)
            except VaultError as error:
                raise _sealed(error) from None
            await self._table.put(ROOT, RootKey(sealed=sealed, created=time.time()), 0)
        if (found := self.known) is None:
            text = "it was sealed with another master key"
            raise _sealed(VaultError(text))
        return found

    def _open(self, sealed: bytes) -> RootKeys | None:
        try:
            return RootKeys(self._key.vault().unwrap(PURPOSE, sealed))
        except VaultError as error:
            log.warning("sign_in_key_sealed", error=str(error))
            return None


def _sealed(error: VaultError) -> Rejected:
    log.error("sign_ins_unavailable", error=str(error))
    text = "the key of sign-ins can't be opened here: give all gateways the same master key"
    return Rejected(Reason.UNAVAILABLE, text)
