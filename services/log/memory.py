"""The log in memory: the same contract without a server, for tests of what stands on a log."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import AnyFact, Record, Unknown, decode, encode
from contracts.subjects import Guard, matches
from services.log.port import (
    MAX_FACT,
    AlreadyRecorded,
    Append,
    Batch,
    Batches,
    Checkpoint,
    Delivery,
    LogMismatch,
    check_place,
    name_of,
    traceparent,
)

BATCH = 500


class MemoryLog:
    """See `services.log.port.Log`. One process, nothing survives it."""

    def __init__(self, epoch: str = "2026-01-01T00:00:00Z") -> None:
        self._epoch = epoch
        self._records: list[Record] = []
        self._by_subject: dict[str, Record] = {}
        self._grown = asyncio.Event()
        self._queues: dict[tuple[str, str], MemoryQueue] = {}

    @property
    def epoch(self) -> str:
        """Creation time given to the constructor."""
        return self._epoch

    def now(self) -> float:
        """See `Log.now`."""
        return time.time()

    async def append(self, fact: AnyFact, guard: Guard | None = None, trace: str = "") -> int:
        """See `Log.append`."""
        await asyncio.sleep(0)
        outcome = self._store(Append(fact, guard, trace))
        if isinstance(outcome, AlreadyRecorded):
            raise outcome
        return outcome

    async def append_all(self, items: Sequence[Append]) -> list[int | AlreadyRecorded]:
        """See `Log.append_all`."""
        await asyncio.sleep(0)
        outcomes: list[int | AlreadyRecorded] = []
        refused: Rejected | ValueError | None = None
        for item in items:
            try:
                outcomes.append(self._store(item))
            except (Rejected, ValueError) as error:
                refused = refused or error
        if refused:
            raise refused
        return outcomes

    async def append_together(self, items: Sequence[Append]) -> list[int]:
        """See `Log.append_together`."""
        await asyncio.sleep(0)
        for item in items:
            known = self._known(item)
            if isinstance(known, AlreadyRecorded):
                raise known
        return [seq for item in items if isinstance(seq := self._store(item), int)]

    async def head(self) -> int:
        """See `Log.head`."""
        return len(self._records)

    async def at(self, seq: int) -> Record | None:
        """See `Log.at`."""
        return self._records[seq - 1] if 0 < seq <= len(self._records) else None

    async def last(self, filter_: str) -> Record | None:
        """See `Log.last`."""
        return self._last(filter_)

    async def read(
        self,
        filters: Sequence[str],
        limit: int = 1000,
        until: int | None = None,
        *,
        reach: int = 0,
    ) -> list[Record]:
        """See `Log.read`."""
        found = self._select(filters, 0, len(self._records) if until is None else until)
        if len(found) > limit:
            raise ValueError(f"more than {limit} facts match {', '.join(filters)}: use scan")
        return found

    async def read_last(self, subjects: Sequence[str], *, reach: int = 0) -> list[Record]:
        """See `Log.read_last`."""
        found = (self._by_subject.get(subject) for subject in subjects)
        return sorted((record for record in found if record), key=lambda record: record.seq)

    async def scan(self, filters: Sequence[str], after: int, until: int) -> Batches:
        """See `Log.scan`."""
        while after < until:
            through = min(after + BATCH, until)
            yield Batch(self._select(filters, after, through), through, live=through >= until)
            after = through

    async def follow(self, filters: Sequence[str], after: Checkpoint) -> Batches:
        """See `Log.follow`."""
        self._verify(after)
        at, head = after.seq, len(self._records)
        if at >= head:
            yield Batch([], at, True, self._name(at))
        while True:
            grown = self._grown
            while at < len(self._records):
                through = min(at + BATCH, len(self._records))
                records = self._select(filters, at, through)
                at = through
                if records or through >= head:
                    yield Batch(records, through, through >= head, self._name(through))
            await grown.wait()

    def inbox(self, stream: str, durable: str, most_bytes: int | None = None) -> MemoryInbox:
        """See `Log.inbox`; readers of one durable share its queue."""
        return MemoryInbox(self._queue(stream, durable), most_bytes)

    def foreign(self, subject: str, data: bytes, at: float | None = None) -> int:
        """Store what another release, or a fault, has put on a subject; return its sequence."""
        fact = decode(data, subject)
        shown = fact.json if isinstance(fact, Unknown) else data
        when = time.time() if at is None else at
        return self._keep(Record(len(self._records) + 1, when, subject, fact, shown), data)

    def intake(self, subject: str, data: bytes) -> None:
        """Put an outside message into the intake queue, as the server does for a publisher."""
        self._queue(subjects.INTAKE_STREAM, subjects.INTAKE_DURABLE).add(subject, data)

    def _queue(self, stream: str, durable: str) -> MemoryQueue:
        if (stream, durable) not in self._queues:
            queue = self._queues[stream, durable] = MemoryQueue()
            if stream == subjects.STREAM:
                for record in self._select([subjects.ROUTES], 0, len(self._records)):
                    queue.add(record.subject, record.data, record.seq)
        return self._queues[stream, durable]

    def _store(self, item: Append) -> int | AlreadyRecorded:
        subject, data = subjects.of(item.fact), encode(item.fact)
        if len(data) > MAX_FACT:
            text = f"{subject}: {len(data)} bytes; a fact has at most {MAX_FACT}"
            raise Rejected(Reason.TOO_LARGE, text)
        if item.guard:
            subjects.check_guard(item.guard)
        if (known := self._known(item)) is not None:
            return known
        record = Record(
            len(self._records) + 1, time.time(), subject, item.fact, data, traceparent(item.trace)
        )
        return self._keep(record, data)

    def _keep(self, record: Record, data: bytes) -> int:
        self._records.append(record)
        self._by_subject[record.subject] = record
        if matches(subjects.ROUTES, record.subject):
            queue = self._queue(subjects.STREAM, subjects.EXECUTOR_DURABLE)
            queue.add(record.subject, data, record.seq)
        self._grown.set()
        self._grown = asyncio.Event()
        return record.seq

    def _known(self, item: Append) -> int | AlreadyRecorded | None:
        """What the log says to this fact already; None: it can be stored."""
        subject = subjects.of(item.fact)
        if known := self._by_subject.get(subject):
            return known.seq if known.fact.id == item.fact.id else AlreadyRecorded(subject, known)
        if item.guard:
            newest = self._last(item.guard.subject)
            if (newest.seq if newest else 0) != item.guard.seq:
                return AlreadyRecorded(subject, newest)
        return None

    def _last(self, filter_: str) -> Record | None:
        found = (r for r in reversed(self._records) if matches(filter_, r.subject))
        return next(found, None)

    def _select(self, filters: Sequence[str], after: int, through: int) -> list[Record]:
        window = self._records[after:through]
        return [r for r in window if any(matches(f, r.subject) for f in filters)]

    def _verify(self, mark: Checkpoint) -> None:
        if not mark.epoch:
            return
        if mark.epoch != self._epoch:
            raise LogMismatch(f"the log was created at {self._epoch}, not {mark.epoch}")
        if mark.seq > len(self._records):
            raise LogMismatch(f"this view is at {mark.seq}, the log ends at {len(self._records)}")
        if mark.seq:
            check_place(mark, self._records[mark.seq - 1])

    def _name(self, seq: int) -> str:
        return name_of(self._records[seq - 1]) if seq else ""


class MemoryQueue:
    """Messages of one durable, and who waits for them."""

    def __init__(self) -> None:
        self.messages: deque[MemoryDelivery] = deque()
        self.news = asyncio.Event()
        self._count = 0

    def add(self, subject: str, data: bytes, seq: int = 0) -> None:
        """Append a message, numbered by itself unless it has a sequence already."""
        self._count += 1
        self.put(MemoryDelivery(self, subject, seq or self._count, data))

    def put(self, delivery: MemoryDelivery) -> None:
        """Offer a delivery, again if it was given back."""
        self.messages.append(delivery)
        self.news.set()


class MemoryDelivery:
    """See `Delivery`."""

    def __init__(self, queue: MemoryQueue, subject: str, seq: int, data: bytes) -> None:
        self._queue = queue
        self.subject = subject
        self.seq = seq
        self.data = data
        self.size = len(subject) + len(data)
        self.redelivered = False
        self.trace = ""
        self.acknowledged = False

    async def ack(self) -> None:
        """Done with it."""
        self.acknowledged = True

    async def hold(self) -> None:
        """Keep it; nothing here is taken from anybody."""

    async def nak(self, delay_s: float = 0.0) -> None:
        """Give it back."""
        self.redelivered = True
        asyncio.get_running_loop().call_later(delay_s, self._queue.put, self)


class MemoryInbox:
    """See `Inbox`."""

    def __init__(self, queue: MemoryQueue, most_bytes: int | None = None) -> None:
        self._queue = queue
        self._room = 0
        self._free = math.inf if most_bytes is None else most_bytes
        self._taken: list[MemoryDelivery] = []

    def want(self, n: int, size: int = 0) -> None:
        """Grant room for more messages."""
        self._room += n
        self._free += size
        self._queue.news.set()

    async def receive(self) -> Sequence[Delivery]:
        """Wait for messages."""
        taken: list[MemoryDelivery] = []
        while not taken:
            while self._fits():
                taken.append(self._queue.messages.popleft())
                self._room -= 1
                self._free -= taken[-1].size
            if not taken:
                self._queue.news.clear()
                await self._queue.news.wait()
        self._taken += taken
        return taken

    def _fits(self) -> bool:
        waiting = self._queue.messages
        return bool(self._room > 0 and waiting and waiting[0].size <= self._free)

    async def ack_all(self, deliveries: Sequence[Delivery]) -> None:
        """Be done with many."""
        for delivery in deliveries:
            await delivery.ack()

    async def close(self) -> None:
        """Give back what was taken and not acknowledged."""
        for delivery in self._taken:
            if not delivery.acknowledged:
                await delivery.nak()
