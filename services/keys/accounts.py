"""Linked accounts: a user's own tokens at Hugging Face and GitHub, sealed in NATS KV.

They are state, no facts: taken away they are gone. Who may read which bucket, NATS decides.
"""

from __future__ import annotations

import hashlib
import hmac
import time

import msgspec

from contracts.account import Account, Credential, Provider
from contracts.subjects import CREDENTIAL_BUCKETS
from services.bus.bus import Bus
from services.keys.vault import KeyFile, VaultError
from services.store.kv import Bucket, KvEntry

LONGEST_TOKEN = 4096


class Accounts:
    """The accounts that users have linked. Raises StoreError where it asks NATS."""

    def __init__(self, bus: Bus, key: KeyFile) -> None:
        self._buckets = {name: Bucket(bus, bucket) for name, bucket in CREDENTIAL_BUCKETS.items()}
        self._key = key

    async def link(
        self, user: str, provider: Provider, name: str, token: str, scopes: tuple[str, ...] = ()
    ) -> Account:
        """Store a token in the place of an earlier one. Raises VaultError.

        Another token of the same account changes nothing about since when it is linked.
        """
        before = await self.account(user, provider)
        since = before.linked_at if before is not None and before.name == name else time.time()
        account = Account(provider, name, since, scopes)
        credential = self._key.vault().seal(user, account, token)
        await self._buckets[provider].put(user, msgspec.json.encode(credential))
        return account

    async def renew(self, user: str, provider: Provider, was: str, token: str) -> bool:
        """Store a token in the place of that whose SHA-256 is `was`; False: there is another now.

        Raises VaultError.
        """
        found = await self._buckets[provider].get(user)
        if found is None:
            return False
        credential, vault = _credential(found), self._key.vault()
        held = hashlib.sha256(vault.open(user, credential).encode()).hexdigest()
        if not hmac.compare_digest(held, was):
            return False
        fresh = msgspec.json.encode(vault.seal(user, credential.account, token))
        put = await self._buckets[provider].put(user, fresh, expected=found.revision)
        return put is not None

    def seal(self, user: str, account: Account, token: str) -> Credential:
        """Seal a token that is no account's yet. Raises VaultError."""
        return self._key.vault().seal(user, account, token)

    def unseal(self, user: str, credential: Credential) -> str:
        """Open what `seal` has made. Raises VaultError."""
        return self._key.vault().open(user, credential)

    async def unlink(self, user: str, provider: Provider) -> bool:
        """Forget a token; False if there was none."""
        return await self._buckets[provider].delete(user)

    async def account(self, user: str, provider: Provider) -> Account | None:
        """The account without its token; no key is needed for that."""
        found = await self._buckets[provider].get(user)
        return None if found is None else _credential(found).account

    async def open(self, user: str, provider: Provider) -> tuple[Account, str] | None:
        """The account with its token. Raises VaultError if it can't be opened here."""
        found = await self._buckets[provider].get(user)
        if found is None:
            return None
        credential = _credential(found)
        return credential.account, self._key.vault().open(user, credential)

    async def token(self, user: str, provider: Provider) -> str | None:
        """The token alone. Raises VaultError if it can't be opened here."""
        opened = await self.open(user, provider)
        return None if opened is None else opened[1]

    async def linked(self, provider: Provider) -> dict[str, Account]:
        """Every user's account at this provider."""
        every = await self._buckets[provider].all()
        return {user: _credential(entry).account for user, entry in every.items()}


def _credential(entry: KvEntry) -> Credential:
    try:
        return msgspec.json.decode(entry.value, type=Credential)
    except msgspec.DecodeError:
        raise VaultError("a stored credential can't be read: link the account again") from None
