"""Issued tokens: all gateways share them in NATS KV, as digests, and each holds them in memory.

A gateway asks for changes four times a second, so a revoked token ends everywhere within one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from contracts.errors import Reason, Rejected
from services.gateway.access.identity import Principal, digest
from services.process import telemetry
from services.process.ids import new_id
from services.process.shared import Shared
from services.store.blobs import StoreError
from services.store.kv import MARKER_S, Bucket, KvChange

PREFIX = "mtm_"
POLL_S = 0.25
LOOK_S = 0.1
MOST_TOKENS = 100_000
KEEP_EXPIRED_S = 86_400
"""How long a token is still listed after it has expired."""

Role: TypeAlias = Literal["user", "auditor", "admin"]

log = telemetry.get_logger()


class Issued(msgspec.Struct, frozen=True):
    """What is known of a token; the token itself nobody can get back."""

    id: str
    user: str
    roles: tuple[str, ...] = ()
    created: float = 0.0
    """Seconds since the epoch."""
    expires: float | None = None
    """The same; None: never."""
    note: str = ""

    def good(self, now: float) -> bool:
        """Whether it has not expired."""
        return self.expires is None or now < self.expires


class HeldToken(NamedTuple):
    """A token and its revision in the bucket, by which a list goes on."""

    revision: int
    issued: Issued


_issued: msgspec.json.Decoder[Issued] = msgspec.json.Decoder(Issued)


class Tokens:
    """An `Identity` that can be added to and taken from. Raises StoreError where it asks NATS."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.on_gone: list[Callable[[frozenset[str]], object]] = []
        """Called with the ids of tokens that were revoked."""
        self._held: dict[str, HeldToken] = {}
        self._ids: dict[str, str] = {}
        self._after = 0
        self._refreshing = asyncio.Lock()
        self._look = Shared(self.refresh, LOOK_S)

    def of(self, token: str) -> Principal | None:
        """See `Identity`."""
        if not token.startswith(PREFIX):
            return None
        found = self._held.get(digest(token))
        if found is None or not found.issued.good(time.time()):
            return None
        issued = found.issued
        return Principal(issued.user, frozenset(issued.roles), issued.expires, issued.id)

    def holds(self, principal: Principal) -> bool:
        """Whether what this principal has shown is still good; what was not issued here is."""
        return principal.token is None or principal.token in self._ids

    def page(self, user: str | None, after: int, count: int) -> tuple[list[Issued], int | None]:
        """Some tokens, of one user or all, oldest first, and where the rest begins."""
        self._forget_expired()
        found: list[HeldToken] = []
        for held in self._held.values():
            if held.revision > after and user in (None, held.issued.user):
                if len(found) == count:
                    return [one.issued for one in found], found[-1].revision
                found.append(held)
        return [one.issued for one in found], None

    async def add(
        self, user: str, roles: tuple[str, ...], ttl_s: float | None, note: str
    ) -> tuple[Issued, str]:
        """Issue a token; this is the only time that its text is known. Raises Rejected.

        If we die before the answer arrives, there is a token in the list that nobody knows.
        """
        await self.refresh()
        self._forget_expired()
        if len(self._held) >= MOST_TOKENS:
            text = f"there are {MOST_TOKENS} tokens: revoke some that are not used"
            raise Rejected(Reason.CONFLICT, text)
        token = PREFIX + secrets.token_urlsafe(32)
        now = time.time()
        expires = None if ttl_s is None else now + ttl_s
        issued = Issued(new_id(), user, roles, now, expires, note)
        keep_s = None if ttl_s is None else math.ceil(ttl_s) + KEEP_EXPIRED_S
        await self._bucket.put(digest(token), msgspec.json.encode(issued), ttl_s=keep_s)
        with contextlib.suppress(StoreError):
            # Read back, not noted down: somebody else may have revoked it in the meantime.
            await self.refresh()
        return issued, token

    async def revoke(self, id_: str) -> Issued:
        """End a token, here at once and elsewhere within a second. Raises Rejected."""
        await self.refresh()
        key = self._ids.get(id_)
        held = None if key is None else self._held[key]
        if key is None or held is None or not await self._bucket.delete(key, marker_s=MARKER_S):
            raise Rejected(Reason.NOT_FOUND, "there is no such token: list them for their ids")
        self._tell(self._drop(key))
        return held.issued

    async def refresh(self) -> None:
        """Hear of everything that has happened up to now; after trouble, from the start again."""
        async with self._refreshing:
            try:
                if not self._after:
                    await self._load()
                    return
                while changes := await self._bucket.changes(self._after):
                    self._after = changes[-1].revision
                    self._tell({id_ for change in changes for id_ in self._apply(change)})
            except StoreError:
                self._after = 0
                raise

    async def look_for(self, token: str) -> None:
        """Look if somebody else has issued this; at most ten times a second for all. StoreError."""
        if not token.startswith(PREFIX):
            return
        await self._look.answer()

    async def follow(self) -> None:
        """Stay up to date, for ever. While NATS is away, what was known counts."""
        away = False
        while True:
            try:
                await self.refresh()
                away = False
            except StoreError as error:
                if not away:
                    log.warning("tokens_not_followed", error=str(error))
                away = True
            await asyncio.sleep(POLL_S)

    async def _load(self) -> None:
        """Read everything, then put it in the place of what was known."""
        fresh, after = Tokens(self._bucket), 0
        while changes := await self._bucket.changes(after):
            after = changes[-1].revision
            for change in changes:
                fresh._apply(change)
        gone = self._ids.keys() - fresh._ids.keys()
        self._held, self._ids, self._after = fresh._held, fresh._ids, after
        self._tell(gone)

    def _apply(self, change: KvChange) -> set[str]:
        """Take a change in; the ids it has ended."""
        if change.value is None:
            return self._drop(change.key)
        try:
            issued = _issued.decode(change.value)
        except msgspec.DecodeError as error:
            log.warning("token_unreadable", revision=change.revision, error=str(error))
            return set()
        if len(self._held) >= MOST_TOKENS:
            self._forget_expired()
        if len(self._held) >= MOST_TOKENS:
            log.warning("too_many_tokens", id=issued.id)
            return set()
        self._held[change.key] = HeldToken(change.revision, issued)
        self._ids[issued.id] = change.key
        return set()

    def _drop(self, key: str) -> set[str]:
        held = self._held.pop(key, None)
        if held is None:
            return set()
        self._ids.pop(held.issued.id, None)
        return {held.issued.id}

    def _forget_expired(self) -> None:
        long_ago = time.time() - KEEP_EXPIRED_S
        for key in [k for k, held in self._held.items() if not held.issued.good(long_ago)]:
            self._drop(key)

    def _tell(self, gone: set[str]) -> None:
        if gone:
            for hook in self.on_gone:
                hook(frozenset(gone))
