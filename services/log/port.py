"""The log as a port: append facts, read them, follow them, share work out.

`log_nats.NatsLog` and `log_memory.MemoryLog` keep one contract, tests/contract/test_log.py.
Time and order of a fact come from the log, never from a writer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from contracts.facts import AnyFact, Record
from contracts.subjects import Guard
from services.bus.jetstream import ApiError

MAX_FACT = 1024 * 1024 - 4096
"""Bytes of one fact's JSON; with its headers the stream takes 1 MiB."""
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class AlreadyRecorded(Exception):
    """The append was refused: `record` stands on the subject already, or has moved the guard on.

    The writer has been overtaken. `record` is None when it was the absence of something that the
    guard expected.
    """

    def __init__(self, subject: str, record: Record | None) -> None:
        found = f"{record.subject} at sequence {record.seq}" if record else "nothing"
        super().__init__(f"{subject} was not appended: the log has {found}")
        self.subject = subject
        self.record = record


class LogUnavailable(Exception):
    """The log does not answer or refuses every write; whether the fact was stored is not known."""


class ApiRefused(LogUnavailable):
    """JetStream has answered with an error of its own."""

    def __init__(self, subject: str, error: ApiError) -> None:
        super().__init__(f"{subject}: {error.description} ({error.err_code})")
        self.code = error.err_code
        self.reason = error.reason


class LogMismatch(Exception):
    """This is not the log it should be: other configuration, another stream, or facts missing."""


def traceparent(text: str) -> str:
    """Return a W3C `traceparent` as it is, and an empty string for anything else.

    It may come from outside and is copied to every fact of a task: nothing but its 55 bytes fits.
    """
    return text if _TRACEPARENT.fullmatch(text) else ""


class Append(NamedTuple):
    """One fact to append, and the guard it is appended under."""

    fact: AnyFact
    guard: Guard | None = None
    trace: str = ""
    """W3C `traceparent` to store beside it."""


class Batch(NamedTuple):
    """What a follower gets: facts in order, and how far they reach."""

    records: list[Record]
    through: int
    """Everything that matches the filters up to this sequence has now been delivered."""
    live: bool
    """The follower has caught up with the head it found when it (re)started."""
    end: str = ""
    """Name of the fact at `through`, where that is none of the records."""

    @property
    def named(self) -> str:
        """Name of the fact at `through`, so that a checkpoint there can be proven."""
        last = self.records[-1] if self.records else None
        return name_of(last) if last and last.seq == self.through else self.end


Batches: TypeAlias = AsyncGenerator[Batch, None]


class Checkpoint(NamedTuple):
    """Where a follower stands: which log, up to where, and the fact found there."""

    epoch: str
    """The log's creation time; another value is another log."""
    seq: int
    fact_id: str
    """Name of the fact at `seq`; empty when nothing has been applied."""


START = Checkpoint("", 0, "")


def named(fact_id: str, data: bytes) -> str:
    """What a fact is called where a place in the log has to be proven: its id, which no other has;
    of what is damaged and has none, a digest."""
    return fact_id or hashlib.sha256(data).hexdigest()[:32]


def name_of(record: Record) -> str:
    """See `named`."""
    return named(record.fact.id, record.data)


def check_place(mark: Checkpoint, found: Record | None) -> None:
    """Hold a checkpoint against what stands at its sequence. Raises LogMismatch."""
    if not mark.fact_id:
        text = "does not say which fact it has seen there: an earlier release wrote it"
        raise LogMismatch(f"this view is at sequence {mark.seq}, and {text}")
    if found is None or name_of(found) != mark.fact_id:
        text = f"the fact at sequence {mark.seq} is not the one this view has seen"
        raise LogMismatch(text)


class Delivery(Protocol):
    """A message of a work queue. Unacknowledged, it comes again."""

    subject: str
    seq: int
    """Its sequence in the stream it came from."""
    data: bytes
    size: int
    """Bytes of it as the queue counts them, with its subjects and headers."""
    redelivered: bool
    trace: str
    """W3C `traceparent`, if the writer had one."""

    async def ack(self) -> None:
        """Done with it; it does not come again."""

    async def nak(self, delay_s: float = 0.0) -> None:
        """Give it back, to come again after `delay_s` seconds."""

    async def hold(self) -> None:
        """Say that it is still being worked on: without a word for `ack_wait` it comes again."""


class Inbox(Protocol):
    """A durable work queue: each message goes to one of its readers at a time."""

    def want(self, n: int, size: int = 0) -> None:
        """Grant room for `n` more messages; no more than granted are taken from the queue.

        `size`: bytes of deliveries that are dealt with, where those are counted.
        """

    async def receive(self) -> Sequence[Delivery]:
        """Wait for messages; at least one is returned."""

    async def ack_all(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge many at once."""

    async def close(self) -> None:
        """Stop taking messages; those that `receive` has not returned go to another reader at once,
        those not acknowledged later."""


class Log(Protocol):
    """The durable log of facts."""

    @property
    def epoch(self) -> str:
        """Creation time of the log, RFC 3339."""

    def now(self) -> float:
        """Return log time. What depends on the age of facts asks this clock, not the machine's."""

    async def append(self, fact: AnyFact, guard: Guard | None = None, trace: str = "") -> int:
        """Store one fact and return its sequence once it is on disk.

        A fact whose id stands there already counts as stored. Waits while the log is away.
        Raises AlreadyRecorded, Rejected(TOO_LARGE), LogUnavailable, and ValueError for a guard
        that guards nothing.
        """

    async def append_all(self, items: Sequence[Append]) -> list[int | AlreadyRecorded]:
        """Store many facts, each on its own; the answers stand in the order of `items`.

        At most one `job.*` fact of a task may be among them. When one of them fails otherwise than
        by AlreadyRecorded, that is raised after the others are settled.
        """

    async def append_together(self, items: Sequence[Append]) -> list[int]:
        """Store these facts one behind the other, or none of them; their subjects differ.

        So a fact can be stored under more than one guard: those of its company hold for it too. It
        costs more than `append`. Raises AlreadyRecorded, for the first that is refused, and
        Rejected(TOO_LARGE) and LogUnavailable as `append` does.
        """

    async def head(self) -> int:
        """Return the last sequence of the log, 0 when it is empty."""

    async def at(self, seq: int) -> Record | None:
        """Return the fact at this sequence."""

    async def last(self, filter_: str) -> Record | None:
        """Return the newest fact whose subject matches."""

    async def read(
        self,
        filters: Sequence[str],
        limit: int = 1000,
        until: int | None = None,
        *,
        reach: int = 0,
    ) -> list[Record]:
        """Return all facts that match, in order, as of the sequence `until`.

        `reach`: a sequence that the log is known to have. What was there by then is found, or
        LogUnavailable raised: "not there" about something that a fact names is no answer.
        Raises ValueError above `limit`, which is 1000 at most.
        """

    async def read_last(self, subjects: Sequence[str], *, reach: int = 0) -> list[Record]:
        """Return the fact on each of these literal subjects that has one, in log order.

        `reach` as in `read`.
        """

    def scan(self, filters: Sequence[str], after: int, until: int) -> Batches:
        """Read history: facts after `after` up to and including `until`, in bounded batches."""

    def follow(self, filters: Sequence[str], after: Checkpoint) -> Batches:
        """Yield history from the checkpoint, then what is appended, without end, gap or repeat.

        Survives restarts of the server. Raises LogMismatch when the checkpoint is of another log.
        """

    def inbox(self, stream: str, durable: str, most_bytes: int | None = None) -> Inbox:
        """Open a reader of a durable work queue that the operator has created.

        `most_bytes`: of deliveries it may hold, until `want` gives them back.
        """
