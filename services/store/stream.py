"""What the object store and the leases ask of a JetStream stream, without any consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import structlog
from nats.aio.msg import Msg

from services.bus.bus import Bus, BusError, BusTimeout, NoResponders, PermissionDenied
from services.bus.client import Message
from services.bus.jetstream import LASTING, ApiError, ApiReason, StoredMessage
from services.bus.streams import laid_over

ALWAYS: Mapping[str, Any] = {
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "num_replicas": 1,
    "allow_direct": True,
    # One header of a service's would empty the bucket.
    "allow_rollup_hdrs": False,
    "deny_delete": True,
}
"""What the streams of all our buckets have in common."""

MOST_TOGETHER = 500
"""The server takes up to 1,000 messages at once."""
SILENCE_S = 5.0
"""Nothing of an answer for so long: no more of it comes."""

log = structlog.get_logger()


class StoreError(Exception):
    """The store can't do it: it is away, full, or not set up."""

    def __init__(self, text: str, error: ApiError | None = None) -> None:
        super().__init__(text)
        self.code = error.err_code if error else 0
        self.reason = error.reason if error else None
        """What JetStream meant by its answer; None: it has given none."""


class StoreRefused(StoreError):
    """The store will not do it however often it is asked: there is no such thing, or no right."""


class Stored(NamedTuple):
    """One message of a stream."""

    seq: int
    data: bytes
    headers: Mapping[str, str]


class StreamState(msgspec.Struct):
    """What lies in a stream."""

    bytes: int = 0
    messages: int = 0
    subjects: dict[str, int] = {}
    """Those asked for, with how many messages each has."""


class StreamConfig(msgspec.Struct):
    """What the operator has said of a stream, as far as it is looked at."""

    metadata: dict[str, str] = {}
    num_replicas: int = 1


class StreamInfo(msgspec.Struct):
    """How a stream is."""

    config: StreamConfig
    state: StreamState


class Stream:
    """One stream that exists already.

    Where it has replicas, any of them answers a direct get, also one that lags behind: there the
    leader is asked what is newest, and whether there is no more.
    """

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self._name = name
        self._copies = 0
        """How many replicas it has; 0: not known yet."""

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        expected: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int | None:
        """Append a message and return its sequence; it is on disk then.

        With `expected`, only if that is the subject's last sequence (0: none); None means that it
        wasn't. Raises StoreError.
        """
        extra = dict(headers or {})
        if expected is not None:
            extra["Nats-Expected-Last-Subject-Sequence"] = str(expected)
        answer = await self._ask(subject, data, extra)
        try:
            return int(_checked(self._name, answer.data)["seq"])
        except StoreError as error:
            if error.reason is ApiReason.CONFLICT:
                return None
            raise

    async def publish_all(self, subjects: Sequence[str], headers: Mapping[str, str]) -> None:
        """Append an empty message to each subject: all of them or none, with one sync to the disk.

        At most MOST_TOGETHER, in a stream that allows it. Raises StoreError.
        """
        own = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

        async def send(inbox: str) -> None:
            batch = f"NATS/1.0\r\n{own}Nats-Batch-Id: {inbox[-22:]}\r\nNats-Batch-Sequence: "
            ends = [""] * (len(subjects) - 1) + ["Nats-Batch-Commit: 1\r\n"]
            await self._bus.nc.publish_all(
                (
                    subject,
                    # What is wrong with all of them is said of the first.
                    inbox if end or number == 1 else "",
                    f"{batch}{number}\r\n{end}\r\n".encode(),
                    b"",
                )
                for number, (subject, end) in enumerate(zip(subjects, ends, strict=True), 1)
            )

        answer = (
            await self._collect(
                subjects[0], send, last=lambda message: bool(message.data or message.status)
            )
        )[-1]
        if answer.status:
            raise StoreError(f"{self._name}: {answer.status} {answer.description}")
        _checked(self._name, answer.data)

    async def info(self) -> StreamInfo:
        """How the stream is. Raises StoreError."""
        return await self._info({})

    async def exists(self) -> bool:
        """Whether there is such a stream. Raises StoreError if that is not known."""
        try:
            await self.info()
        except StoreError as error:
            if error.reason is ApiReason.NOT_FOUND:
                return False
            raise
        return True

    async def subjects(self, filter_: str) -> list[str]:
        """Subjects that match and have messages. Raises StoreError."""
        every: list[str] = []
        # The server tells so many at once, and goes on where it is asked to.
        while page := await self._subjects(filter_, len(every)):
            every += page
        return every

    async def _subjects(self, filter_: str, offset: int) -> list[str]:
        found = await self._info({"subjects_filter": filter_, "offset": offset})
        return list(found.state.subjects)

    async def _info(self, asked: Mapping[str, Any]) -> StreamInfo:
        answer = await _api(self._bus, f"STREAM.INFO.{self._name}", asked)
        found = msgspec.convert(answer, StreamInfo, strict=False)
        self._copies = found.config.num_replicas
        return found

    async def last(self, subject: str) -> Stored | None:
        """The newest message of a subject. Raises StoreError."""
        if await self._replicated():
            return await self._by_leader({"last_by_subj": subject})
        answer = await self._ask(self._get(), msgspec.json.encode({"last_by_subj": subject}))
        return self._one(answer)

    async def last_on(self, subject: str) -> Stored | None:
        """The same, asked for by a name that says which subject: a right to one is not to all.

        Of a stream with replicas it may be what was the newest a moment ago.
        """
        return self._one(await self._ask(f"{self._get()}.{subject}", b""))

    async def _replicated(self) -> bool:
        if not self._copies:
            try:
                await self.info()
            except StoreError as error:
                if error.reason is ApiReason.NOT_FOUND:
                    raise self._absent() from error
                raise
        return self._copies > 1

    def _absent(self) -> StoreRefused:
        return StoreRefused(f"stream {self._name} does not exist: run `metamcp provision`")

    async def _by_leader(self, asked: Mapping[str, Any]) -> Stored | None:
        try:
            answer = await _api(self._bus, f"STREAM.MSG.GET.{self._name}", asked)
        except StoreError as error:
            if error.reason is ApiReason.NO_MESSAGE:
                return None
            raise
        return _stored_by_leader(msgspec.convert(answer["message"], StoredMessage))

    async def read(
        self,
        subject: str,
        seq: int,
        count: int,
        *,
        since: float | None = None,
        most_bytes: int | None = None,
    ) -> list[Stored]:
        """Up to `count` messages of a subject, from sequence `seq` on. Raises StoreError.

        `since`: instead from what was stored at this time on, in seconds since the epoch.
        `most_bytes`: no further than where they have so many together; fewer do not mean the end.
        """
        begin = {"seq": seq} if since is None else {"start_time": _time(since)}
        asked = {**begin, "next_by_subj": subject, "batch": count}
        if most_bytes is not None:
            asked["max_bytes"] = most_bytes
        request, get = msgspec.json.encode(asked), self._get()
        arrived = await self._collect(
            get,
            lambda inbox: self._bus.publish(get, request, reply=inbox),
            last=lambda message: bool(message.status),
        )
        every = (
            self._stored(one.status, one.description, one.headers(), one.data) for one in arrived
        )
        found = [one for one in every if one is not None]
        if not found and since is None and await self._replicated():
            there = await self._by_leader({"seq": seq, "next_by_subj": subject})
            return [] if there is None else [there]
        return found

    async def _collect(
        self,
        subject: str,
        send: Callable[[str], Awaitable[None]],
        last: Callable[[Message], bool],
    ) -> list[Message]:
        """Send something with an inbox and gather the answers, up to the one for which `last`
        holds. Raises StoreError."""
        inbox = self._bus.nc.new_inbox()
        arrived: list[Message] = []
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def take(message: Message) -> None:
            arrived.append(message)
            if last(message) and not ended.done():
                ended.set_result(None)

        try:
            subscription = await self._bus.listen(inbox, take)
            try:
                with self._bus.trouble(subject) as trouble:
                    await send(inbox)
                    before = -1
                    while not ended.done() and len(arrived) > before:
                        before = len(arrived)
                        await asyncio.wait(
                            (ended, trouble),
                            timeout=SILENCE_S,
                            return_when=asyncio.FIRST_COMPLETED,
                        )
                        if trouble.done() and not ended.done():
                            trouble.result()
            finally:
                if self._bus.connected:
                    await subscription.unsubscribe()
            if not ended.done():
                raise BusTimeout(f"No answer from stream {self._name} in time.")
        except self._bus.publish_errors as error:
            raise StoreError(f"{self._name}: {error}") from error
        return arrived

    async def _ask(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> Msg:
        try:
            return await self._bus.request_message(subject, data, headers=headers)
        except PermissionDenied as error:
            raise StoreRefused(f"{self._name}: {error}") from error
        except NoResponders as error:
            if await self._missing():
                raise self._absent() from error
            raise StoreError(f"{self._name}: {error}") from error
        except BusError as error:
            raise StoreError(f"{self._name}: {error}") from error

    async def _missing(self) -> bool:
        """Whether there is no such stream; one without a leader does not answer just now."""
        try:
            await _api(self._bus, f"STREAM.INFO.{self._name}", {})
        except StoreError as error:
            return error.reason is ApiReason.NOT_FOUND
        return False

    def _one(self, message: Msg) -> Stored | None:
        headers = message.headers or {}
        status, description = headers.get("Status", ""), headers.get("Description", "")
        return self._stored(status, description, headers, bytes(message.data))

    def _stored(
        self, status: str, description: str, headers: Mapping[str, str], data: bytes
    ) -> Stored | None:
        if status in ("404", "204"):
            return None
        if status:
            raise StoreError(f"{self._name}: {status} {description}")
        return Stored(int(headers["Nats-Sequence"]), data, headers)

    def _get(self) -> str:
        return f"{self._bus.api}.DIRECT.GET.{self._name}"


def _stored_by_leader(found: StoredMessage) -> Stored:
    """A message as a direct get gives it, the server's own headers among the others."""
    lines = (line.partition(b":") for line in found.hdrs.split(b"\r\n")[1:] if line)
    own = {name.decode(): value.strip().decode() for name, _, value in lines}
    told = {
        "Nats-Subject": found.subject,
        "Nats-Sequence": str(found.seq),
        "Nats-Time-Stamp": found.time,
    }
    return Stored(found.seq, found.data, own | told)


def _time(at: float) -> str:
    return datetime.fromtimestamp(max(at, 0.0), UTC).isoformat()


async def ensure_stream(bus: Bus, config: Mapping[str, Any]) -> None:
    """Create the stream, or update it to `config`; the operator's right. Raises StoreError.

    What a newer release has added to it stays. Where the disk has become too small for what was set
    aside, the server takes no update at all: the stream stays as it is.
    """
    name = config["name"]
    try:
        found = await _api(bus, f"STREAM.INFO.{name}", {})
    except StoreRefused as error:
        if error.reason is not ApiReason.NOT_FOUND:
            raise
        await _api(bus, f"STREAM.CREATE.{name}", config)
        return
    try:
        await _api(bus, f"STREAM.UPDATE.{name}", laid_over(config, found["config"]))
    except StoreError as error:
        if error.reason is not ApiReason.NO_ROOM:
            raise
        log.warning("stream_left_as_it_is", stream=name, error=str(error))


async def _api(bus: Bus, what: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    try:
        answer = await bus.request(f"{bus.api}.{what}", msgspec.json.encode(payload))
    except BusError as error:
        raise StoreError(f"{what}: {error}") from error
    return _checked(what, answer)


def _checked(what: str, answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(answer)
    if "error" in found:
        error = msgspec.convert(found["error"], ApiError)
        kind = StoreRefused if error.reason in LASTING else StoreError
        raise kind(f"{what}: {error.description} ({error.err_code})", error)
    return found
