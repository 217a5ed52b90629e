"""Reading the log: direct gets and batched history, for which the server keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import Callable, Coroutine, Sequence
from operator import attrgetter
from typing import NamedTuple, cast

import msgspec
import structlog

from contracts.facts import Record
from contracts.subjects import STREAM
from services.bus.client import Message
from services.log.leader import Leader
from services.log.port import (
    Batch,
    Batches,
    LogUnavailable,
)
from services.log.replay import HISTORY_BATCH, HISTORY_BYTES, Replay
from services.log.wire import Wire, record_of

LONG = 4000
"""Facts from which on history is replayed by a consumer, which costs the server half as much."""
EXPECTED_ENDS = ("204", "404")
_seq = attrgetter("seq")

log = structlog.get_logger()


class Part(NamedTuple):
    """The answer to one batched read."""

    records: list[Record]
    whole: bool
    """Nothing that matches lies behind the last of them."""
    too_many: bool = False
    """More subjects match than the server answers for."""
    through: int = 0
    """How far the log reached of which the last of them were read; 0: not told."""


class _Lane:
    """The way of one filter through history, and what was read of it and not taken yet."""

    def __init__(
        self,
        read: Callable[[dict[str, object]], Coroutine[None, None, Part]],
        filter_: str,
        after: int,
        until: int,
    ) -> None:
        self._read = read
        self._filter = filter_
        self._until = until
        self._records: list[Record] = []
        self._reading: asyncio.Task[Part] | None = None
        self.reach = after
        """All that matches up to here has been read."""

    def begin(self) -> asyncio.Task[Part]:
        """Have what follows read, unless that is under way."""
        if self._reading is None:
            request = {"next_by_subj": self._filter, "batch": HISTORY_BATCH, "seq": self.reach + 1}
            self._reading = asyncio.create_task(self._read(request))
        return self._reading

    async def fill(self) -> None:
        """Read on; all that was read before has been taken. Raises LogUnavailable."""
        part = await self.begin()
        self._reading = None
        self._records = part.records
        # One that was cut short says nothing about what lies behind its last fact.
        self.reach = self._until if part.whole else min(self._until, part.records[-1].seq)

    def take(self, through: int) -> list[Record]:
        """Take what lies up to there."""
        count = bisect_right(self._records, through, key=_seq)
        taken, self._records = self._records[:count], self._records[count:]
        return taken

    async def end(self) -> None:
        """Give up what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))
            if not self._reading.cancelled():
                self._reading.exception()


class Reader:
    """Reads of one connection; none of them needs a consumer."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._direct = f"{wire.bus.api}.DIRECT.GET.{STREAM}"
        self.leader = Leader(wire)
        self._replays = True
        """Replays work here, as far as is known."""

    async def info(self) -> tuple[str, int]:
        """Return the stream's creation time and last sequence, from its leader."""
        return await self.leader.info()

    async def at(self, seq: int) -> Record | None:
        """Return the fact at a sequence."""
        found = await self._one({"seq": seq})
        if found is None and self.leader.replicated:
            return await self.leader.at(seq)
        return found

    async def last(self, filter_: str) -> Record | None:
        """Return the newest fact that matches."""
        if self.leader.replicated:
            return await self.leader.last(filter_)
        return await self._one({"last_by_subj": filter_})

    async def multi(
        self, filters: Sequence[str], limit: int, until: int | None = None, reach: int = 0
    ) -> list[Record]:
        """Return every fact that matches, in order: one subject is one fact, so the last is all.

        `reach` as in `Log.read`.
        """
        records: list[Record] = []
        request: dict[str, object] = {"multi_last": list(filters), "batch": limit + 1}
        if until is not None:
            request["up_to_seq"] = until
        while True:
            part = await self._batch(request | {"seq": records[-1].seq + 1 if records else 1})
            records += part.records
            # Of an `until` the server says that it reached it, whether it has.
            proven = records and until is None and part.through >= reach
            if part.whole and self.leader.replicated and not proven:
                after = records[-1].seq if records else 0
                records += await self.leader.lacking(filters, after, until)
                await self.leader.check(min(reach, until or reach))
            if part.too_many or len(records) > limit:
                raise ValueError(f"more than {limit} facts match {', '.join(filters)}: use scan")
            if part.whole:
                return records

    async def scan(
        self, filters: Sequence[str], after: int, until: int, *, ahead: bool = False
    ) -> Batches:
        """Yield history in batches; see `Log.scan`. `ahead`: read on while one is being used."""
        lanes = [_Lane(self._batch, filter_, after, until) for filter_ in filters]
        try:
            while after < until:
                await asyncio.gather(*[lane.fill() for lane in lanes if lane.reach <= after])
                after = min((lane.reach for lane in lanes), default=until)
                parts = [lane.take(after) for lane in lanes]
                if ahead:
                    for lane in lanes:
                        if lane.reach <= after < until:
                            lane.begin()
                yield Batch(_joined(parts), after, live=after >= until)
        finally:
            await asyncio.gather(*[lane.end() for lane in lanes])

    async def replay(self, filters: Sequence[str], after: int, until: int) -> Batches:
        """Yield history as `scan` does, for one reader who wants all of it."""
        replayed = await self._replayed(filters, after, until)
        if replayed is not None:
            batches = replayed.batches(until)
        else:
            batches = self.scan(filters, after, until, ahead=True)
        came = False
        try:
            async with contextlib.aclosing(batches):
                async for batch in batches:
                    came = True
                    yield batch
        except LogUnavailable:
            self._replays &= came
            raise

    async def _replayed(self, filters: Sequence[str], after: int, until: int) -> Replay | None:
        # A replica that lags behind would say that there is no more.
        if until - after < LONG or not self._replays or self.leader.replicated:
            return None
        try:
            return await Replay.begin(self._wire, filters, after)
        except LogUnavailable as error:
            log.warning("log_not_replayed", error=str(error))
            self._replays = False
            return None

    async def _batch(self, request: dict[str, object]) -> Part:
        """Read facts up to the server's or our own limit."""
        body = msgspec.json.encode(request | {"max_bytes": HISTORY_BYTES})
        *messages, end = await self._wire.collect(self._direct, body, last=_ends)
        if end.status == "413":
            return Part([], whole=False, too_many=True)
        _check_end(end)
        left = int(end.header(b"Nats-Num-Pending") or 0) if end.status == "204" else 0
        if left and not messages:
            raise LogUnavailable("reading the log failed: the server sent none of the facts it has")
        records = [record_of(message) for message in messages]
        filter_ = request.get("next_by_subj")
        if self.leader.replicated and not left and isinstance(filter_, str):
            after = records[-1].seq if records else cast(int, request["seq"]) - 1
            if (more := await self.leader.next(filter_, after)) is not None:
                return Part([*records, more], whole=False)
        through = int(end.header(b"Nats-UpTo-Sequence") or 0)
        return Part(records, whole=not left, through=through)

    async def _one(self, request: dict[str, object]) -> Record | None:
        message = await self._wire.request(self._direct, msgspec.json.encode(request))
        if message.status:
            _check_end(message)
            return None
        return record_of(message)


def _joined(parts: Sequence[list[Record]]) -> list[Record]:
    """Facts of several filters in order; what more than one selects is there once."""
    if len(parts) == 1:
        return parts[0]
    chosen = {record.seq: record for part in parts for record in part}
    return [chosen[seq] for seq in sorted(chosen)]


def _ends(message: Message) -> bool:
    return not message.data and bool(message.status)


def _check_end(message: Message) -> None:
    status = message.status
    if status not in EXPECTED_ENDS:
        raise LogUnavailable(f"reading the log failed: {status} {message.description}")
