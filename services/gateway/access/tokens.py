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
from services.gateway.people.records import User
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
    scopes: tuple[str, ...] | None = None
    """What it is good for; None: for all that the roles allow."""
    epoch: int = 0
    """Of the user's account when it was issued."""
    by: str = ""
    """Who issued it, if that was somebody else."""

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
        self.account: Callable[[str], User | None] = lambda user: None
        """The account of a user, if there is one: it says what a token of theirs may do."""
        self.on_gone: list[Callable[[frozenset[str]], object]] = []
        """Called with the ids of tokens that were revoked."""
        self._held: dict[str, HeldToken] = {}
        self._ids: dict[str, str] = {}
        self._keys: dict[str, set[str]] = {}
        """Under which keys a user's tokens are held."""
        self._after = 0
        self._refreshing = asyncio.Lock()
        self._look = Shared(self.refresh, LOOK_S)
        self._ending: dict[str, tuple[str, Issued]] = {}
        """Tokens ended here that NATS still has, by id, with their keys."""

    def of(self, token: str) -> Principal | None:
        """See `Identity`."""
        if not token.startswith(PREFIX):
            return None
        found = self._held.get(digest(token))
        if found is None or not found.issued.good(time.time()):
            return None
        return self._principal(found.issued)

    def names(self, user: str) -> bool:
        """Whether some token is this user's."""
        return any(held.issued.user == user for held in self._held.values())

    def holds(self, principal: Principal) -> bool:
        """See `Identity`."""
        if principal.token is None or (key := self._ids.get(principal.token)) is None:
            return False
        now = self._principal(self._held[key].issued)
        return now is not None and principal.roles <= now.roles

    def find(self, id_: str) -> Issued | None:
        """What is known of the token with this id."""
        key = self._ids.get(id_)
        return None if key is None else self._held[key].issued

    def of_id(self, id_: str) -> Principal | None:
        """Whose the token with this id is, if it is good."""
        issued = self.find(id_)
        good = issued is not None and issued.good(time.time())
        return self._principal(issued) if good and issued is not None else None

    def less(self, user: str) -> None:
        """Have all that is open with a user's tokens shown anew: the account has changed."""
        self._tell({self._held[key].issued.id for key in self._keys.get(user, ())})

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

    def count(self, user: str) -> int:
        """How many tokens of a user are good."""
        now = time.time()
        return sum(self._held[key].issued.good(now) for key in self._keys.get(user, ()))

    async def add(
        self,
        user: str,
        roles: tuple[str, ...],
        ttl_s: float | None,
        note: str,
        *,
        scopes: tuple[str, ...] | None = None,
        by: str = "",
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
        account = self.account(user)
        epoch = 0 if account is None else account.epoch
        issued = Issued(new_id(), user, roles, now, expires, note, scopes, epoch, by)
        keep_s = None if ttl_s is None else math.ceil(ttl_s) + KEEP_EXPIRED_S
        await self._bucket.put(digest(token), msgspec.json.encode(issued), ttl_s=keep_s)
        with contextlib.suppress(StoreError):
            # Read back, not noted down: somebody else may have revoked it in the meantime.
            await self.refresh()
        return issued, token

    async def revoke(self, id_: str) -> tuple[Issued, bool]:
        """End a token, here at once and elsewhere within a second. Raises Rejected.

        False: NATS takes it from nobody now, so only this gateway knows, until NATS does.
        """
        with contextlib.suppress(StoreError):
            await self.refresh()
        if (key := self._ids.get(id_)) is not None:
            self._ending[id_] = key, self._held[key].issued
            self._tell(self._drop(key))
        elif id_ not in self._ending:
            raise no_token()
        issued = self._ending[id_][1]
        try:
            found = await self._finish(id_)
        except StoreError as error:
            log.warning("token_ended_here_only", id=id_, error=str(error))
            return issued, False
        if not found:
            raise no_token()
        return issued, True

    async def _finish(self, id_: str) -> bool:
        """Take a token that was ended here from the others; False if somebody else has.

        Raises StoreError: not yet.
        """
        key, _ = self._ending[id_]
        found = await self._bucket.delete(key, marker_s=MARKER_S)
        return self._ending.pop(id_, None) is None or found

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
                for id_ in list(self._ending):
                    await self._finish(id_)
                away = False
            except StoreError as error:
                if not away:
                    log.warning("tokens_not_followed", error=str(error))
                away = True
            await asyncio.sleep(POLL_S)

    async def _load(self) -> None:
        """Read everything, then put it in the place of what was known."""
        fresh, after = Tokens(self._bucket), 0
        fresh._ending = self._ending
        while changes := await self._bucket.changes(after):
            after = changes[-1].revision
            for change in changes:
                fresh._apply(change)
        gone = self._ids.keys() - fresh._ids.keys()
        self._held, self._ids, self._after = fresh._held, fresh._ids, after
        self._keys = fresh._keys
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
        if issued.id in self._ending:
            return set()
        if len(self._held) >= MOST_TOKENS:
            self._forget_expired()
        if len(self._held) >= MOST_TOKENS:
            log.warning("too_many_tokens", id=issued.id)
            return set()
        self._held[change.key] = HeldToken(change.revision, issued)
        self._ids[issued.id] = change.key
        self._keys.setdefault(issued.user, set()).add(change.key)
        return set()

    def _principal(self, issued: Issued) -> Principal | None:
        """Whom it stands for; nobody if the account says so."""
        account, roles = self.account(issued.user), frozenset(issued.roles)
        if account is not None:
            if account.disabled or account.epoch != issued.epoch:
                return None
            roles &= frozenset(account.roles)
        scopes = None if issued.scopes is None else frozenset(issued.scopes)
        return Principal(
            issued.user, roles, issued.expires, issued.id, scopes, f"token:{issued.id}"
        )

    def _drop(self, key: str) -> set[str]:
        held = self._held.pop(key, None)
        if held is None:
            return set()
        self._ids.pop(held.issued.id, None)
        mine = self._keys[held.issued.user]
        mine.discard(key)
        if not mine:
            del self._keys[held.issued.user]
        return {held.issued.id}

    def _forget_expired(self) -> None:
        long_ago = time.time() - KEEP_EXPIRED_S
        for key in [k for k, held in self._held.items() if not held.issued.good(long_ago)]:
            self._drop(key)

    def _tell(self, gone: set[str]) -> None:
        if gone:
            for hook in self.on_gone:
                hook(frozenset(gone))


def no_token() -> Rejected:
    """For an id that nobody has, or somebody else."""
    return Rejected(Reason.NOT_FOUND, "there is no such token: list them for their ids")
