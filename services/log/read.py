"""Reading the log: direct gets, batched history, and following.

A follower is a core subscription on the republished facts plus direct gets for what it missed. The
server keeps nothing for it; one that is too slow goes back to reading history (bounded memory).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog

from contracts.facts import Record
from contracts.subjects import STREAM, live
from services.bus.client import Message
from services.log.port import START, Batch, Batches, Checkpoint, LogMismatch, LogUnavailable
from services.log.wire import Wire, record_of

EVERYTHING = ">"
HISTORY_BATCH = 1000
HISTORY_BYTES = 8 * 1024 * 1024
LIVE_BATCH = 512
BUSY = 8
"""Facts in one live batch from which on the next is given `GATHER_S` to grow."""
GATHER_S = 0.003
LIVE_BYTES = 32 * 1024 * 1024
PROBE_S = 2.0
"""After so long a silence the log is asked whether it was one."""
RECONCILE_S = 30.0
RETRY_S = 0.25
EXPECTED_ENDS = ("204", "404")

log = structlog.get_logger()


class Part(NamedTuple):
    """The answer to one batched read."""

    records: list[Record]
    whole: bool
    """Nothing that matches lies behind the last of them."""
    too_many: bool = False
    """More subjects match than the server answers for."""


class Reader:
    """Reads of one connection; none of them needs a consumer."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._direct = f"{wire.bus.api}.DIRECT.GET.{STREAM}"
        self._info = f"{wire.bus.api}.STREAM.INFO.{STREAM}"

    async def info(self) -> tuple[str, int]:
        """Return the stream's creation time and last sequence, from its leader."""
        answer = await self._wire.api(self._info)
        return str(answer["created"]), int(answer["state"]["last_seq"])

    async def at(self, seq: int) -> Record | None:
        """Return the fact at a sequence."""
        return await self._one({"seq": seq})

    async def last(self, filter_: str) -> Record | None:
        """Return the newest fact that matches."""
        return await self._one({"last_by_subj": filter_})

    async def multi(
        self, filters: Sequence[str], limit: int, until: int | None = None
    ) -> list[Record]:
        """Return every fact that matches, in order: one subject is one fact, so the last is all."""
        records: list[Record] = []
        request: dict[str, object] = {"multi_last": list(filters), "batch": limit + 1}
        if until is not None:
            request["up_to_seq"] = until
        while True:
            part = await self._batch(request | {"seq": records[-1].seq + 1 if records else 1})
            records += part.records
            if part.too_many or len(records) > limit:
                raise ValueError(f"more than {limit} facts match {', '.join(filters)}: use scan")
            if part.whole:
                return records

    async def scan(self, filters: Sequence[str], after: int, until: int) -> Batches:
        """Yield history in batches; see `Log.scan`."""
        while after < until:
            start = {"batch": HISTORY_BATCH, "seq": after + 1}
            reads = (self._batch(start | {"next_by_subj": filter_}) for filter_ in filters)
            parts = await asyncio.gather(*reads)
            # A part that was cut short says nothing about what lies behind its last fact.
            reach = (part.records[-1].seq for part in parts if not part.whole and part.records)
            through = min([until, *reach])
            chosen = {r.seq: r for part in parts for r in part.records if r.seq <= through}
            after = through
            yield Batch([chosen[seq] for seq in sorted(chosen)], through, live=through >= until)

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
        return Part([record_of(message) for message in messages], whole=not left)

    async def _one(self, request: dict[str, object]) -> Record | None:
        message = await self._wire.request(self._direct, msgspec.json.encode(request))
        if message.status:
            _check_end(message)
            return None
        return record_of(message)


def _ends(message: Message) -> bool:
    return not message.data and bool(message.status)


def _check_end(message: Message) -> None:
    status = message.status
    if status not in EXPECTED_ENDS:
        raise LogUnavailable(f"reading the log failed: {status} {message.description}")


class Follower:
    """One reader's position in the log, and the live facts it has not taken yet."""

    def __init__(
        self, reader: Reader, wire: Wire, filters: Sequence[str], after: Checkpoint
    ) -> None:
        self._reader = reader
        self._wire = wire
        self._filters = tuple(filters)
        self._mark = after
        self._buffer: list[Message] = []
        self._bytes = 0
        self._taken = 0
        self._behind = True
        self._wake = asyncio.Event()
        self._silent_s = 0.0
        self._head = 0
        """Head of the log through which no live fact is missing."""

    async def batches(self) -> Batches:
        """Yield batches for ever; see `Log.follow`."""
        nc = self._wire.bus.nc
        subscriptions = [await nc.subscribe_direct(live(f), self._on_live) for f in self._filters]
        self._wire.bus.on_reconnected.append(self._lost_sight)
        try:
            while True:
                if self._behind:
                    async for batch in self._catch_up():
                        yield batch
                else:
                    batch = self._take()
                    if batch.records:
                        yield batch
                await self._pause()
        finally:
            self._wire.bus.on_reconnected.remove(self._lost_sight)
            for subscription in subscriptions:
                with contextlib.suppress(*self._wire.bus.publish_errors):
                    await subscription.unsubscribe()

    def _on_live(self, message: Message) -> None:
        if b"\r\nNats-Sequence: " not in message.head:
            return  # no fact: others use `live.` too, the intake's errors for one
        if self._bytes > LIVE_BYTES:
            self._lost_sight()
            return
        self._buffer.append(message)
        self._bytes += len(message.data)
        if not self._wake.is_set():
            self._wake.set()

    def _lost_sight(self) -> None:
        """Live facts may be missing: read history again from the last delivered one."""
        self._behind = True
        self._buffer.clear()
        self._bytes = 0
        self._wake.set()

    async def _pause(self) -> None:
        """Wait for news; in a silence ask the log whether it has any, from time to time all of it.

        In busy times facts are left to come together: each batch costs its readers the same.
        """
        if self._taken >= BUSY and not self._behind:
            self._taken = 0
            await asyncio.sleep(GATHER_S)
        if self._buffer or self._behind:
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(PROBE_S):
                await self._wake.wait()
            self._silent_s = 0.0
        except TimeoutError:
            self._silent_s += PROBE_S
            await self._probe()

    async def _probe(self) -> None:
        """Go back to history if a live fact was lost; what comes meanwhile is not kept waiting."""
        asking = asyncio.create_task(self._missed())
        waking = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait((asking, waking), return_when=asyncio.FIRST_COMPLETED)
            if asking.done() and asking.result():
                self._silent_s, self._behind = 0.0, True
        finally:
            asking.cancel()
            waking.cancel()

    async def _missed(self) -> bool:
        """Whether the log has facts that did not come; one small question while it stands still."""
        if self._silent_s >= RECONCILE_S:
            return True
        try:
            _, head = await self._reader.info()
            if head == self._head:
                return False
            newest = await asyncio.gather(*(self._reader.last(f) for f in self._filters))
        except LogUnavailable:
            return False  # The next silence asks again.
        if any(record is not None and record.seq > self._mark.seq for record in newest):
            return True
        self._head = head
        return False

    async def _catch_up(self) -> Batches:
        self._behind = False
        try:
            head = await self._verify()
            if head <= self._mark.seq:
                yield Batch([], self._mark.seq, live=True)
            async for batch in self._reader.scan(self._filters, self._mark.seq, head):
                self._advance(batch)
                yield batch
        except LogUnavailable as error:
            log.warning("log_read_retried", error=str(error))
            self._behind = True
            await asyncio.sleep(RETRY_S)

    async def _verify(self) -> int:
        """Check that the log is the one the mark was made in; return its head."""
        epoch, head = await self._reader.info()
        mark = self._mark
        if mark == START:
            self._mark = Checkpoint(epoch, 0, "")
            return head
        if mark.epoch != epoch:
            raise LogMismatch(
                f"the log was created at {epoch}; this view is of one from {mark.epoch}"
            )
        if mark.seq > head:
            raise LogMismatch(f"this view is at sequence {mark.seq}, the log ends at {head}")
        if mark.fact_id:
            found = await self._reader.at(mark.seq)
            if found is None or found.fact.id != mark.fact_id:
                raise LogMismatch(
                    f"the fact at sequence {mark.seq} is not the one this view has seen"
                )
        return head

    def _take(self) -> Batch:
        """Take what has arrived live. A hole in a full subscription means history must be read."""
        messages, self._buffer = self._buffer[:LIVE_BATCH], self._buffer[LIVE_BATCH:]
        self._taken = len(messages)
        records: list[Record] = []
        through = self._mark.seq
        whole = self._filters == (EVERYTHING,)
        for message in messages:
            self._bytes -= len(message.data)
            record = record_of(message)
            if record.seq <= through:
                continue
            if whole and record.seq != through + 1:
                self._lost_sight()
                break
            records.append(record)
            through = record.seq
        batch = Batch(records, through, live=True)
        self._advance(batch)
        return batch

    def _advance(self, batch: Batch) -> None:
        if batch.records and batch.records[-1].seq == batch.through:
            last = batch.records[-1]
            self._mark = Checkpoint(self._mark.epoch, last.seq, last.fact.id)
        elif batch.through > self._mark.seq:
            self._mark = Checkpoint(self._mark.epoch, batch.through, "")
