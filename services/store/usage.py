"""How much the object store holds of each user, counted from the descriptions of its blobs.

Every process that stores blobs counts for itself, and looks at what is new before it stores one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import NamedTuple, TypeAlias

import msgspec

from contracts.budget import Budget, BudgetOf, usual
from contracts.errors import Reason, Rejected
from services.store.earlier import EarlierShelf
from services.store.shelf import FIRST, MOST_BYTES, Shelf
from services.store.stream import Stored, StoreError

ADVICE = (
    "delete blobs (metamcp blobs delete, DELETE /api/blobs/SHA256) or results (DELETE"
    " /api/results/TASK)"
)
PAGE = 1000
RELOAD_S = 1800.0
"""After so long without a look all is read anew: what was deleted leaves its mark for an hour."""


AskBudget: TypeAlias = Callable[[str], Awaitable[Budget]]


class StoreFull(StoreError):
    """The object store has no room for more, whoever's it is."""


class HeldBlob(NamedTuple):
    """A blob of a user."""

    sha256: str
    size: int
    seq: int
    """By which a list goes on; another one whenever the bytes are stored again."""
    at: float
    """When it was stored last, seconds since the epoch."""


class _Meta(msgspec.Struct):
    """Of a blob's description, what counts."""

    name: str
    size: int = 0
    deleted: bool = False


_meta: msgspec.json.Decoder[_Meta] = msgspec.json.Decoder(_Meta)


class Usage:
    """The bytes of all users. A look asks for what has come since the one before."""

    def __init__(
        self,
        shelf: Shelf,
        earlier: EarlierShelf,
        budget_of: BudgetOf = usual,
        clock: Callable[[], float] = time.monotonic,
        ask: AskBudget | None = None,
    ) -> None:
        """`ask`: where the budget of a user has to be asked for; goes before `budget_of`."""
        self._shelf = shelf
        self._earlier = earlier
        self._budget_of = budget_of
        self._clock = clock
        self._ask = ask
        self._held: dict[str, dict[str, HeldBlob]] = {}
        self._bytes: Counter[str] = Counter()
        self._coming: Counter[str] = Counter()
        self._coming_blobs: Counter[str] = Counter()
        self._after = dict.fromkeys((earlier.metas, shelf.metas), 0)
        self._looked_at = 0.0
        self._looking = asyncio.Lock()

    async def of(self, user: str) -> tuple[int, int]:
        """Bytes and blobs of a user, with those on their way from here. Raises StoreError."""
        await self._look()
        blobs = len(self._held.get(user, ())) + self._coming_blobs[user]
        return self._bytes[user] + self._coming[user], blobs

    async def page(self, user: str, after: int, count: int) -> list[HeldBlob]:
        """Some of a user's blobs, those stored longest ago first. Raises StoreError."""
        await self._look()
        mine = (blob for blob in self._held.get(user, {}).values() if blob.seq > after)
        return sorted(mine, key=lambda blob: blob.seq)[:count]

    @contextlib.asynccontextmanager
    async def room_for(self, user: str, sha256: str, size: int) -> AsyncIterator[None]:
        """Reckon with bytes that are stored inside of this block. Those that the user has already,
        in an earlier release's bucket, are no more than before.

        Raises Rejected(TOO_LARGE) over the user's budget, StoreFull, StoreError.
        """
        await self.check_store(size)
        budget = self._budget_of(user) if self._ask is None else await self._ask(user)
        used, blobs = await self.of(user)
        if sha256 in self._held.get(user, ()):
            yield
            return
        _check_budget(budget, user, size, used, blobs)
        self._coming[user] += size
        self._coming_blobs[user] += 1
        try:
            yield
        finally:
            self._coming[user] -= size
            self._coming_blobs[user] -= 1
            if not self._coming_blobs[user]:
                del self._coming[user], self._coming_blobs[user]

    async def check_store(self, size: int) -> None:
        """Whether all users together may have so many bytes more. Raises StoreFull, StoreError."""
        info = await self._shelf.stream.info()
        most = info.config.metadata.get(MOST_BYTES)
        if most is None or not most.isdecimal():
            return
        held = info.state.bytes
        if await self._earlier.there():
            held += (await self._earlier.stream.info()).state.bytes
        if held + self._coming.total() + size > int(most):
            raise StoreFull(
                f"the object store is full: {held} bytes of {most} are used; blobs and"
                " results have to be deleted first"
            )

    async def _look(self) -> None:
        """Take in what is new; after trouble, all of it."""
        async with self._looking:
            if self._clock() - self._looked_at > RELOAD_S:
                self._forget()
            try:
                newest = {shelf: await shelf.newest() for shelf in await self._shelves()}
                if any(seq < self._after[shelf.metas] for shelf, seq in newest.items()):
                    # Another store, or an older state of it.
                    self._forget()
                for shelf, seq in newest.items():
                    await self._follow(shelf, seq)
            except StoreError:
                self._forget()
                raise
            self._looked_at = self._clock()

    async def _shelves(self) -> tuple[Shelf | EarlierShelf, ...]:
        """Those there are, what is older first."""
        there = await self._earlier.there()
        return (self._earlier, self._shelf) if there else (self._shelf,)

    async def _follow(self, shelf: Shelf | EarlierShelf, newest: int) -> None:
        metas = shelf.metas
        while self._after[metas] < newest:
            page = await shelf.stream.read(metas, self._after[metas] + 1, PAGE)
            for stored in page:
                self._take(stored)
            self._after[metas] = page[-1].seq if page else newest

    def _forget(self) -> None:
        self._held.clear()
        self._bytes.clear()
        self._after = dict.fromkeys(self._after, 0)

    def _take(self, stored: Stored) -> None:
        try:
            meta = _meta.decode(stored.data)
        except msgspec.DecodeError:
            # Not by us: nobody's, and nobody finds it.
            return
        user, _, sha256 = meta.name.partition("/")
        mine = self._held.setdefault(user, {})
        before = mine.get(sha256)
        if before and (
            before.seq > stored.seq or (meta.deleted and before.seq < FIRST <= stored.seq)
        ):
            # The same bytes lie in both places, or did: what became of the others says nothing.
            return
        mine.pop(sha256, None)
        self._bytes[user] -= before.size if before else 0
        if not meta.deleted:
            at = datetime.fromisoformat(stored.headers["Nats-Time-Stamp"]).timestamp()
            mine[sha256] = HeldBlob(sha256, meta.size, stored.seq, at)
            self._bytes[user] += meta.size
        if not mine:
            del self._held[user], self._bytes[user]


def _check_budget(budget: Budget, user: str, size: int, used: int, blobs: int) -> None:
    if used + size > budget.stored_bytes:
        raise Rejected(
            Reason.TOO_LARGE,
            f"budget stored_bytes: {user} has {used} bytes in the object store, and {size} more"
            f" are over the {budget.stored_bytes} that a user may have: {ADVICE}",
        )
    if blobs >= budget.stored_blobs:
        raise Rejected(
            Reason.TOO_LARGE,
            f"budget stored_blobs: {user} has {blobs} blobs in the object store, of at most"
            f" {budget.stored_blobs}: {ADVICE}",
        )
