"""The log over JetStream, put together from its parts; only the operator creates it."""

from __future__ import annotations

import asyncio
import contextlib
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
from services.log.commit import Committer
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
from services.log.read import Follower, Reader
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

    @classmethod
    async def open(cls, bus: Bus) -> NatsLog:
        """Check the stream's configuration and start. Raises LogMismatch, LogUnavailable."""
        self = cls(bus)
        await self._wire.start()
        answer = await verify(self._wire)
        self._epoch = str(answer["created"])
        self._running = asyncio.create_task(self._committer.run(), name="log-committer")
        return self

    async def close(self) -> None:
        """Stop writing; what is still queued gets no answer."""
        if self._running:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    async def broken(self) -> None:
        """Return when the log is closed. Raises what has broken its writer."""
        assert self._running is not None
        await asyncio.wait([self._running])
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

    async def append(self, fact: AnyFact, guard: Guard | None = None, trace: str = "") -> int:
        """See `Log.append`."""
        return await self._committer.append(Append(fact, guard, trace))

    async def append_all(self, items: Sequence[Append]) -> list[int | AlreadyRecorded]:
        """See `Log.append_all`."""
        return await self._committer.append_all(items)

    async def append_together(self, items: Sequence[Append]) -> list[int]:
        """See `Log.append_together`."""
        return await self._committer.append_together(items)

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
        self, filters: Sequence[str], limit: int = 1000, until: int | None = None
    ) -> list[Record]:
        """See `Log.read`."""
        return await self._reader.multi(filters, limit, until) if until != 0 else []

    async def read_last(self, subjects: Sequence[str]) -> list[Record]:
        """See `Log.read_last`."""
        chunks = [subjects[i : i + LAST_CHUNK] for i in range(0, len(subjects), LAST_CHUNK)]
        parts = await asyncio.gather(*(self._reader.multi(chunk, LAST_CHUNK) for chunk in chunks))
        return sorted((record for part in parts for record in part), key=lambda record: record.seq)

    def scan(self, filters: Sequence[str], after: int, until: int) -> Batches:
        """See `Log.scan`."""
        return self._reader.scan(filters, after, until)

    def follow(self, filters: Sequence[str], after: Checkpoint) -> Batches:
        """See `Log.follow`."""
        return Follower(self._reader, self._wire, filters, after).batches()

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


def difference(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return a line for each setting that differs; the server's own additions do not count."""
    lines = []
    for name, value in wanted.items():
        have = found.get(name, type(value)())
        if isinstance(value, dict):
            lines += [f"{name}.{line}" for line in difference(value, have)]
        elif isinstance(value, list) and isinstance(have, list):
            if sorted(value) != sorted(have):
                lines.append(f"{name} are {have}, not {value}")
        elif have != value:
            lines.append(f"{name} is {have!r}, not {value!r}")
    return lines


async def provision(bus: Bus) -> None:
    """Create or update streams and durable consumers, as the operator. Raises LogUnavailable."""
    wire = Wire(bus)
    await wire.start()
    try:
        limit = (await room(bus)).limit
    except BusError as error:
        raise LogUnavailable(f"the room for streams is not known: {error}") from error
    most = share(limit, SHARE_OF_INTAKE, INTAKE_CONFIG["max_bytes"])
    for config in (STREAM_CONFIG, INTAKE_CONFIG | {"max_bytes": most}):
        await _create_or_update(wire, config)
    for stream, config in CONSUMERS:
        name = config["durable_name"]
        body = {"stream_name": stream, "config": CONSUMER_CONFIG | config}
        await wire.api(
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}", msgspec.json.encode(body)
        )


async def _create_or_update(wire: Wire, config: dict[str, Any]) -> None:
    try:
        found = await wire.api(f"$JS.API.STREAM.INFO.{config['name']}")
    except ApiRefused as error:
        if error.reason is not ApiReason.NOT_FOUND:
            raise
        await wire.api(f"$JS.API.STREAM.CREATE.{config['name']}", msgspec.json.encode(config))
        return
    if not difference(config, found["config"]):
        return
    update = f"$JS.API.STREAM.UPDATE.{config['name']}"
    try:
        await wire.api(update, msgspec.json.encode(config))
    except ApiRefused as error:
        if error.reason is not ApiReason.NO_ROOM or "max_bytes" not in config:
            raise
        # On a disk that has become smaller the server takes no smaller number either.
        kept = config | {"max_bytes": found["config"]["max_bytes"]}
        if difference(kept, found["config"]):
            raise
