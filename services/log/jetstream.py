"""The log over JetStream, put together from its parts; only the operator creates it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from contracts import subjects
from contracts.facts import AnyFact, Record
from contracts.subjects import Guard
from services.bus.bus import Bus
from services.bus.errors import BusError
from services.bus.jetstream import ApiReason
from services.bus.room import SHARE_OF_INTAKE, room, share
from services.bus.streams import MORE, difference, laid_over
from services.log.commit import Committer
from services.log.follow import Follower
from services.log.inbox import NatsInbox
from services.log.port import (
    AlreadyRecorded,
    ApiRefused,
    Append,
    Batches,
    Checkpoint,
    LogMismatch,
    LogUnavailable,
)
from services.log.read import Reader
from services.log.watch import LogReplaced, LogWatch
from services.log.wire import Wire

LAST_CHUNK = 256
CLAIM_S = 3
"""What an executor was given and neither claims nor holds for so long goes to another: what a dead
one was given is thus called within five seconds."""
STREAM_CONFIG: dict[str, Any] = {
    "name": subjects.STREAM,
    "subjects": list(subjects.LOG_SUBJECTS),
    "storage": "file",
    "retention": "limits",
    "compression": "s2",
    "num_replicas": 1,
    "max_msg_size": 1024 * 1024,
    "max_msgs_per_subject": 1,
    "discard": "new",
    "discard_new_per_subject": True,
    "allow_direct": True,
    "allow_atomic": True,
    "deny_delete": True,
    "republish": {"src": ">", "dest": subjects.LIVE + ">"},
}
INTAKE_CONFIG: dict[str, Any] = {
    "name": subjects.INTAKE_STREAM,
    "subjects": list(subjects.INTAKE_SUBJECTS),
    "storage": "file",
    "retention": "workqueue",
    "discard": "new",
    "num_replicas": 1,
    "max_bytes": 1024 * 1024 * 1024,
    # One subject is one publisher: none fills the queue for the others.
    "max_msgs_per_subject": 10_000,
    "discard_new_per_subject": True,
    # The shortest window there is: message ids of one publisher must not swallow another's.
    "duplicate_window": 100_000_000,
    # What the server takes at all: one that a pull could never hold would stop all others.
    "max_msg_size": 1_088 * 1024,
}
INTAKE_MORE = MORE | {"max_msgs_per_subject"}
"""With less room than there was the server would drop what waits."""
CONSUMERS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        subjects.STREAM,
        {
            "durable_name": subjects.EXECUTOR_DURABLE,
            "filter_subject": subjects.ROUTES,
            "ack_wait": CLAIM_S * 1_000_000_000,
        },
    ),
    (
        subjects.INTAKE_STREAM,
        # Taken twice is stored once, so what a gateway took to its grave need not wait for long.
        # What waits for its turn (gateway/turns.py) counts as taken: a queue full of such fits in.
        {
            "durable_name": subjects.INTAKE_DURABLE,
            "ack_wait": 5_000_000_000,
            "max_ack_pending": 20_000,
        },
    ),
)
CONSUMER_MORE = frozenset({"max_ack_pending"})
CONSUMER_CONFIG: dict[str, Any] = {
    "ack_policy": "explicit",
    "deliver_policy": "all",
    "max_ack_pending": 8192,
    "max_deliver": -1,
}


class NatsLog:
    """See `services.log.port.Log`. Use as an async context manager, or `open` and `close`."""

    def __init__(self, bus: Bus) -> None:
        self._wire = Wire(bus)
        self._reader = Reader(self._wire)
        self._committer = Committer(bus, self._wire, self._reader)
        self._running: asyncio.Task[None] | None = None
        self._epoch = ""
        self._watch = LogWatch(self._wire, self._reader.at, self._committer.same, self._stop)

    @classmethod
    async def open(cls, bus: Bus) -> NatsLog:
        """Check the stream's configuration and start. Raises LogMismatch, LogUnavailable."""
        self = cls(bus)
        await self._wire.start()
        sent = time.monotonic()
        answer = await verify(self._wire)
        self._watch.begin(answer, sent)
        self._epoch = str(answer["created"])
        self._reader.leader.told(answer)
        self._running = asyncio.create_task(self._committer.run(), name="log-committer")
        return self

    async def close(self) -> None:
        """Stop writing; what is still queued gets no answer."""
        await self._watch.close()
        if self._running:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    async def broken(self) -> None:
        """Return when the log is closed. Raises what has broken its writer, LogReplaced too."""
        assert self._running is not None
        await asyncio.wait([self._running])
        if self._watch.replaced:
            raise self._watch.replaced
        if not self._running.cancelled():
            self._running.result()

    async def __aenter__(self) -> NatsLog:
        """Return itself, opened."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    @property
    def epoch(self) -> str:
        """Creation time of the stream."""
        return self._epoch

    @property
    def replaced(self) -> bool:
        """Whether the log has turned out to be another one: nothing is written any more."""
        return self._watch.replaced is not None

    @property
    def apart_s(self) -> float:
        """See `ServerClock.apart_s`."""
        return self._watch.clock.apart_s

    def now(self) -> float:
        """See `Log.now`: by the server's clock as it was when it last said so."""
        return self._watch.clock.now(time.monotonic())

    async def look(self) -> None:
        """Ask the server for its clock, and whether the log is the same. Raises LogUnavailable."""
        await self._watch.look()

    def _stop(self) -> None:
        if self._running:
            self._running.cancel()

    @property
    def refusing(self) -> str:
        """Why the server stores no facts now; empty: it does, or nothing is known against it."""
        return self._committer.refusing()

    async def append(self, fact: AnyFact, guard: Guard | None = None, trace: str = "") -> int:
        """See `Log.append`."""
        seq = await self._committer.append(Append(fact, guard, trace))
        self._watch.past.saw(seq, fact.id)
        return seq

    async def append_all(self, items: Sequence[Append]) -> list[int | AlreadyRecorded]:
        """See `Log.append_all`."""
        found = await self._committer.append_all(items)
        for item, seq in zip(items, found, strict=True):
            if isinstance(seq, int):
                self._watch.past.saw(seq, item.fact.id)
        return found

    async def append_together(self, items: Sequence[Append]) -> list[int]:
        """See `Log.append_together`."""
        found = await self._committer.append_together(items)
        self._watch.past.saw(found[-1], items[-1].fact.id)
        return found

    async def head(self) -> int:
        """See `Log.head`."""
        return (await self._reader.info())[1]

    async def at(self, seq: int) -> Record | None:
        """See `Log.at`."""
        return await self._reader.at(seq)

    async def last(self, filter_: str) -> Record | None:
        """See `Log.last`."""
        return await self._reader.last(filter_)

    async def read(
        self,
        filters: Sequence[str],
        limit: int = 1000,
        until: int | None = None,
        *,
        reach: int = 0,
    ) -> list[Record]:
        """See `Log.read`."""
        return await self._reader.multi(filters, limit, until, reach) if until != 0 else []

    async def read_last(self, subjects: Sequence[str], *, reach: int = 0) -> list[Record]:
        """See `Log.read_last`."""
        chunks = [subjects[i : i + LAST_CHUNK] for i in range(0, len(subjects), LAST_CHUNK)]
        reads = (self._reader.multi(chunk, LAST_CHUNK, reach=reach) for chunk in chunks)
        parts = await asyncio.gather(*reads)
        return sorted((record for part in parts for record in part), key=lambda record: record.seq)

    def scan(self, filters: Sequence[str], after: int, until: int) -> Batches:
        """See `Log.scan`."""
        return self._reader.scan(filters, after, until)

    async def follow(self, filters: Sequence[str], after: Checkpoint) -> Batches:
        """See `Log.follow`. Raises LogReplaced when the log becomes another one on the way."""
        followed = False
        if self._watch.replaced:
            raise self._watch.replaced
        batches = Follower(self._reader, self._wire, filters, after).batches()
        async with contextlib.aclosing(batches):
            try:
                async for batch in batches:
                    followed = True
                    yield batch
            except LogMismatch as error:
                if not followed:
                    raise
                replaced = LogReplaced(str(error))
                self._watch.tell(replaced)
                raise replaced from error

    def inbox(self, stream: str, durable: str, most_bytes: int | None = None) -> NatsInbox:
        """See `Log.inbox`."""
        return NatsInbox(self._wire, stream, durable, most_bytes)


async def verify(wire: Wire) -> dict[str, Any]:
    """Return the info of a stream that is configured as it must be. Raises LogMismatch."""
    try:
        answer = await wire.api(f"{wire.bus.api}.STREAM.INFO.{subjects.STREAM}")
    except ApiRefused as error:
        if error.reason is ApiReason.NOT_FOUND:
            raise LogMismatch(
                f"stream {subjects.STREAM} does not exist:"
                " start `metamcp up`, or run `metamcp provision`"
            ) from error
        raise
    wrong = difference(STREAM_CONFIG, answer["config"])
    if wrong:
        raise LogMismatch(
            f"stream {subjects.STREAM} is not configured as a log: {'; '.join(wrong)}"
        )
    return answer


async def provision(bus: Bus) -> None:
    """Create or update streams and durable consumers, as the operator. Raises LogUnavailable."""
    wire = Wire(bus)
    await wire.start()
    try:
        limit = (await room(bus)).limit
    except BusError as error:
        raise LogUnavailable(f"the room for streams is not known: {error}") from error
    most = share(limit, SHARE_OF_INTAKE, INTAKE_CONFIG["max_bytes"])
    await _create_or_update(wire, STREAM_CONFIG, MORE)
    await _create_or_update(wire, INTAKE_CONFIG | {"max_bytes": most}, INTAKE_MORE)
    for stream, config in CONSUMERS:
        await _ensure_consumer(wire, stream, CONSUMER_CONFIG | config)


async def _create_or_update(wire: Wire, config: dict[str, Any], more: frozenset[str]) -> None:
    """Have the stream so; what a newer release has added to it stays."""
    found = await _found(wire, f"STREAM.INFO.{config['name']}")
    if found is None:
        await wire.api(f"$JS.API.STREAM.CREATE.{config['name']}", msgspec.json.encode(config))
        return
    if not difference(config, found, more):
        return
    laid = laid_over(config, found, more)
    update = f"$JS.API.STREAM.UPDATE.{config['name']}"
    try:
        await wire.api(update, msgspec.json.encode(laid))
    except ApiRefused as error:
        if error.reason is not ApiReason.NO_ROOM or "max_bytes" not in config:
            raise
        # On a disk that has become smaller the server takes no smaller number either.
        kept = laid | {"max_bytes": found["max_bytes"]}
        if difference(kept, found, more):
            raise


async def _ensure_consumer(wire: Wire, stream: str, config: dict[str, Any]) -> None:
    """Have the consumer so; it goes on taking what a newer release has it take."""
    name = config["durable_name"]
    found = await _found(wire, f"CONSUMER.INFO.{stream}.{name}")
    laid = config if found is None else laid_over(_filtered(config, found), found, CONSUMER_MORE)
    body = msgspec.json.encode({"stream_name": stream, "config": laid})
    await wire.api(f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}", body)


def _filtered(config: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What is wanted of a consumer, with its filter where a newer release's stand."""
    have = found.get("filter_subjects") or []
    ours = config.get("filter_subject", "")
    if not ours or not have:
        return config
    rest = {name: value for name, value in config.items() if name != "filter_subject"}
    covered = any(subjects.matches(one, ours) for one in have)
    return rest if covered else rest | {"filter_subjects": [ours]}


async def _found(wire: Wire, what: str) -> dict[str, Any] | None:
    """The configuration of what is there; None: there is no such thing."""
    try:
        answer = await wire.api(f"$JS.API.{what}")
    except ApiRefused as error:
        if error.reason is not ApiReason.NOT_FOUND:
            raise
        return None
    config: dict[str, Any] = answer["config"]
    return config
