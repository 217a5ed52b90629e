"""What all gateways know of people: one bucket of NATS KV, held in memory, by kind.

A change is made by revision, so that of two gateways one is told that somebody was quicker; the
others hear of it within a quarter of a second. Whoever must not miss what another gateway has just
done calls `PeopleState.refresh` first.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

import msgspec

from services.process import telemetry
from services.store.kv import MARKER_S, Bucket, KvChange
from services.store.stream import StoreError

POLL_S = 0.25
KEEP_EXPIRED_S = 60
"""How long NATS keeps a value after its end: clocks of gateways differ."""

T = TypeVar("T", bound=msgspec.Struct)

log = telemetry.get_logger()


class HeldRecord(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """A value and its revision, by which it is changed and by which a list goes on."""

    value: T
    revision: int


class Gone(NamedTuple, Generic[T]):
    """What a table tells of a key: how it was, and how it is now."""

    key: str
    before: T | None
    after: T | None
    """None: taken away. What has come to its end is not told."""


class PeopleTable(Generic[T]):
    """All values of one kind. Reading asks nobody; writing raises StoreError."""

    def __init__(self, state: PeopleState, kind: str, type_: type[T]) -> None:
        self._state = state
        self._kind = kind
        self._decoder = msgspec.json.Decoder(type_)
        self._ends = "expires" in type_.__struct_fields__
        self._held: dict[str, HeldRecord[T]] = {}
        self.on_change: list[Callable[[Gone[T]], object]] = []
        """Called for every change, by whichever gateway; must not raise."""
        self.on_forgotten: list[Callable[[str, T], object]] = []
        """Called for what has come to its end, once it is let go of."""

    def get(self, key: str) -> HeldRecord[T] | None:
        """What is held under a key; None if there is nothing, or its time is over."""
        found = self._held.get(key)
        return None if found is None or _over(found.value) else found

    @property
    def held(self) -> Mapping[str, HeldRecord[T]]:
        """Everything, with what has come to its end and is not forgotten yet."""
        return MappingProxyType(self._held)

    async def put(self, key: str, value: T, expected: int) -> HeldRecord[T] | None:
        """Set a value if its revision is still `expected` (0: there is none); None: it isn't.

        A value with a number in `expires` (seconds since the epoch) is gone then.
        """
        expires = getattr(value, "expires", None)
        left = None if expires is None else max(0, math.ceil(expires - time.time()))
        revision = await self._state.bucket.put(
            f"{self._kind}.{key}",
            msgspec.json.encode(value),
            expected=expected or await self._state.since(f"{self._kind}.{key}"),
            ttl_s=None if left is None else left + KEEP_EXPIRED_S,
        )
        if revision is None:
            await self._state.refresh()
            return None
        held = HeldRecord(value, revision)
        known = self._held.get(key)
        if known is None or known.revision < revision:
            self.take(key, held)
        return held

    async def delete(self, key: str) -> bool:
        """Take a value away, for all gateways; False if there was none."""
        found = await self._state.bucket.delete(f"{self._kind}.{key}", marker_s=MARKER_S)
        try:
            # In its place among all changes: of one that is being read it may be the successor.
            await self._state.refresh()
        except StoreError:
            self.take(key, None)
        return found

    def decode(self, data: bytes) -> T:
        """Read a stored value. Raises msgspec.DecodeError."""
        return self._decoder.decode(data)

    def take(self, key: str, held: HeldRecord[T] | None) -> None:
        """Hold what a key has now, and tell of it."""
        before = self._held.pop(key, None)
        if held is not None:
            self._held[key] = held
        after = None if held is None else held.value
        if before is None and after is None:
            return
        told = Gone(key, None if before is None else before.value, after)
        for hook in self.on_change:
            hook(told)

    def forget_expired(self) -> None:
        """Let go of what has come to its end."""
        if not self._ends:
            return
        for key in [key for key, held in self._held.items() if _over(held.value)]:
            value = self._held.pop(key).value
            for hook in self.on_forgotten:
                hook(key, value)


class PeopleState:
    """The bucket, and the tables made from it. Tables are made before the first `refresh`."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self._tables: dict[str, PeopleTable[msgspec.Struct]] = {}
        self._after = 0
        self._refreshing = asyncio.Lock()

    def table(self, kind: str, type_: type[T]) -> PeopleTable[T]:
        """The table of a kind: keys are `<kind>.<key>`, values JSON of `type_`."""
        made: PeopleTable[T] = PeopleTable(self, kind, type_)
        self._tables[kind] = made  # type: ignore[assignment]
        return made

    async def since(self, key: str) -> int:
        """The revision by which a key is written that has no value: 0, or that of its mark."""
        return await self.bucket.revision_of_mark(key)

    async def refresh(self) -> None:
        """Hear of everything up to now; after trouble, from the start again. Raises StoreError."""
        async with self._refreshing:
            try:
                if not self._after:
                    await self._load()
                    return
                while changes := await self.bucket.changes(self._after):
                    self._after = changes[-1].revision
                    for change in changes:
                        self._apply(change)
            except StoreError:
                self._after = 0
                raise

    async def follow(self) -> None:
        """Stay up to date, for ever. While NATS is away, what was known counts."""
        away = False
        while True:
            try:
                await self.refresh()
                away = False
            except StoreError as error:
                if not away:
                    log.warning("people_not_followed", error=str(error))
                away = True
            for table in self._tables.values():
                table.forget_expired()
            await asyncio.sleep(POLL_S)

    async def _load(self) -> None:
        """Read everything; what is not there any more is taken away at the end."""
        after, seen = 0, set[str]()
        while changes := await self.bucket.changes(after):
            after = changes[-1].revision
            for change in changes:
                seen.add(change.key)
                self._apply(change)
        for kind, table in self._tables.items():
            for key in [key for key in table.held if f"{kind}.{key}" not in seen]:
                table.take(key, None)
        self._after = after

    def _apply(self, change: KvChange) -> None:
        kind, _, key = change.key.partition(".")
        table = self._tables.get(kind)
        if table is None:
            return
        known = table.held.get(key)
        if known is not None and known.revision >= change.revision:
            return
        if change.value is None:
            table.take(key, None)
            return
        try:
            value = table.decode(change.value)
        except msgspec.DecodeError as error:
            log.warning("value_unreadable", key=change.key, error=str(error))
            return
        if not _over(value):
            table.take(key, HeldRecord(value, change.revision))


def _over(value: msgspec.Struct) -> bool:
    expires: float | None = getattr(value, "expires", None)
    return expires is not None and expires <= time.time()
