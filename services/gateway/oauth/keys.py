"""The key that all gateways sign with: made once, sealed in the bucket of people.

Whoever restores a bucket with another master key finds a key that can't be opened, and is told so.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.gateway.people.state import PeopleState
from services.keys import jwk
from services.keys.vault import Vault, VaultError
from services.process import telemetry
from services.store.stream import StoreError

KIND, NAME = "signing", "oauth"
PURPOSE = "the key that tokens of clients are signed with"
SECRET_BYTES = 32

log = telemetry.get_logger()


class SealedKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`signing.<name>`: a key that gateways share. Nobody reads it without the master key."""

    sealed: bytes
    created: float = 0.0


class SharedKey(NamedTuple):
    """The key, opened. Never stored or logged so."""

    private: Ed25519PrivateKey
    public: Ed25519PublicKey
    jwk: dict[str, Any]
    secret: bytes
    """What refresh tokens are derived from."""

    def __repr__(self) -> str:
        return f"SharedKey({self.jwk['kid']})"


class SharedKeys:
    """Finds the key, or makes it; of two gateways that make one, the first has made it."""

    def __init__(self, state: PeopleState, vault: Callable[[], Vault]) -> None:
        """`vault` raises VaultError."""
        self._state = state
        self._vault = vault
        self._table = state.table(KIND, SealedKey)
        self._opened: tuple[int, SharedKey] | None = None
        self._making = asyncio.Lock()

    async def get(self) -> SharedKey:
        """Return the key. Raises StoreError: it can't be had now."""
        if found := self._held():
            return found
        async with self._making:
            await self._state.refresh()
            if found := self._held():
                return found
            try:
                sealed = self._vault().wrap(PURPOSE, secrets.token_bytes(2 * SECRET_BYTES))
            except VaultError as error:
                raise StoreError(f"there is no key to sign with: {error}") from None
            stored = await self._table.put(NAME, SealedKey(sealed=sealed, created=time.time()), 0)
            if stored is not None:
                log.info("oauth_key_made")
            if (found := self._held()) is None:
                raise StoreError("the key to sign with is not there")
            return found

    def _held(self) -> SharedKey | None:
        held = self._table.get(NAME)
        if held is None:
            return None
        if self._opened is None or self._opened[0] != held.revision:
            self._opened = held.revision, self._open(held.value)
        return self._opened[1]

    def _open(self, stored: SealedKey) -> SharedKey:
        try:
            raw = self._vault().unwrap(PURPOSE, stored.sealed)
        except VaultError as error:
            raise StoreError(f"the key to sign with can't be opened: {error}") from None
        private = Ed25519PrivateKey.from_private_bytes(raw[:SECRET_BYTES])
        public = private.public_key()
        return SharedKey(private, public, jwk.public_jwk(public), raw[SECRET_BYTES:])
