"""Requests to JetStream over one inbox subscription.

nats-py's own `js.publish` and `request` cost three to four times as much a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from contracts.facts import Record, Unknown, decode
from services.bus.bus import Bus
from services.bus.client import Handler, Message
from services.bus.jetstream import ApiError, StoredMessage
from services.log.port import ApiRefused, LogUnavailable

REQUEST_TIMEOUT_S = 5.0
GIVES_TIME = 100
"""Answers to one request after which those that follow have the whole time again: on a busy machine
history comes slowly, and to begin anew would make it slower."""


class PubAck(msgspec.Struct, frozen=True):
    """The answer to a publish: a sequence, or an error."""

    seq: int = 0
    error: ApiError | None = None


_SUBJECT = len("Nats-Subject: ")
_SEQUENCE = len("Nats-Sequence: ")
_STAMP = len("Nats-Time-Stamp: ")
_TRACE = len("traceparent: ")
_puback: msgspec.json.Decoder[PubAck] = msgspec.json.Decoder(PubAck)


class Wire:
    """One inbox of one connection; each open token has a handler."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._open: dict[str, Handler] = {}
        self._tokens = itertools.count(1)
        self._waiting: set[asyncio.Future[Any]] = set()
        self._prefix = ""
        self.name = ""

    async def start(self) -> None:
        """Subscribe the inbox; once per connection, reconnects keep it."""
        self._prefix = self.bus.nc.new_inbox() + "."
        self.name = self._prefix[-9:-1]

        skip = len(self._prefix)
        self.bus.on_reconnected.append(self._lose_answers)

        def dispatch(message: Message) -> None:
            handler = self._open.get(message.subject[skip:])
            if handler:
                handler(message)

        await self.bus.nc.subscribe_direct(self._prefix + "*", dispatch)

    def open(self, handler: Handler) -> str:
        """Return a fresh reply subject whose messages go to `handler` until `close`."""
        token = str(next(self._tokens))
        self._open[token] = handler
        return self._prefix + token

    def close(self, reply: str) -> None:
        """Forget a reply subject; late messages to it are dropped."""
        self._open.pop(reply[len(self._prefix) :], None)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[asyncio.Future[Any]]:
        """A future for an answer; it fails with LogUnavailable as soon as the answer can't come."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            yield future
        finally:
            self._waiting.discard(future)

    def _lose_answers(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_exception(LogUnavailable("the connection was lost before the answer"))

    async def request(self, subject: str, payload: bytes = b"") -> Message:
        """Send one request and return its first answer. Raises LogUnavailable."""
        return (await self.collect(subject, payload, last=lambda _: True))[0]

    async def collect(
        self, subject: str, payload: bytes, last: Callable[[Message], bool]
    ) -> list[Message]:
        """Send one request and gather answers up to the one for which `last` holds.

        Raises LogUnavailable when the server is away, nobody answers, or it takes too long.
        """
        got: list[Message] = []
        loop = asyncio.get_running_loop()

        def handle(msg: Message) -> None:
            got.append(msg)
            if len(got) % GIVES_TIME == 0 and not limit.expired():
                limit.reschedule(loop.time() + REQUEST_TIMEOUT_S)
            # Only an empty one has a status.
            if (last(msg) or (not msg.data and msg.status == "503")) and not done.done():
                done.set_result(None)

        reply = self.open(handle)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S) as limit:
                if not self.bus.connected:
                    await self.bus.wait_connected()
                with self.waiting() as done:
                    await self.bus.nc.publish(subject, payload, reply=reply)
                    await done
        except TimeoutError as error:
            raise LogUnavailable(
                f"no answer to {subject} within {REQUEST_TIMEOUT_S:g} s"
            ) from error
        except self.bus.publish_errors as error:
            raise LogUnavailable(f"{subject}: {error}") from error
        finally:
            self.close(reply)
        if got[-1].status == "503":
            raise LogUnavailable(f"nobody answers {subject}: is JetStream enabled there?")
        return got

    async def api(self, subject: str, payload: bytes = b"") -> dict[str, Any]:
        """Call the JetStream API. Raises ApiRefused with the server's error, LogUnavailable."""
        message = await self.request(subject, payload)
        answer: dict[str, Any] = msgspec.json.decode(message.data)
        if "error" in answer:
            raise ApiRefused(subject, msgspec.convert(answer["error"], ApiError))
        return answer


def puback(data: bytes) -> PubAck:
    """Read the answer to a publish."""
    return _puback.decode(data)


def epoch_seconds(stamp: str) -> float:
    """Convert JetStream's RFC 3339 stamp (nanoseconds, Z) to seconds since the epoch."""
    return _whole_second(stamp[:19].encode()) + float("0" + stamp[19:].rstrip("Z"))


def record_of(msg: Message) -> Record:
    """Turn a republished or directly read message into a record, whatever it holds.

    The server writes `Nats-Stream`, `-Subject`, `-Sequence` and `-Time-Stamp`, in this order,
    behind our own headers, of which `traceparent` is the last. Raises ValueError for a message that
    comes from no stream.
    """
    ours, found, stored = msg.head.rpartition(b"\r\nNats-Stream: ")
    if not found:
        raise ValueError(f"the message on {msg.subject} comes from no stream")
    _, subject, seq, stamp, _ = stored.split(b"\r\n", 4)
    name = subject[_SUBJECT:].decode()
    fact = decode(msg.data, name)
    last = ours[ours.rfind(b"\r\n") + 2 :]
    return Record(
        int(seq[_SEQUENCE:]),
        _whole_second(stamp[_STAMP : _STAMP + 19]) + float(b"0" + stamp[_STAMP + 19 : -1]),
        name,
        fact,
        fact.json if isinstance(fact, Unknown) else msg.data,
        last[_TRACE:].decode(errors="replace") if last.startswith(b"traceparent: ") else "",
    )


class Numbered(NamedTuple):
    """What a consumer says of a message, in its reply subject."""

    seq: int
    """In the stream."""
    number: int
    """Among all that this consumer has delivered."""
    at: float
    """Seconds since the epoch."""
    left: int
    """How many more match."""


def numbered_of(msg: Message) -> Numbered:
    """Read `$JS.ACK.….<stream seq>.<number>.<nanoseconds>.<left>`, or the same with a domain before
    and a token behind it. Raises ValueError for a message that no consumer has delivered."""
    tokens = msg.reply.split(".")
    if len(tokens) < 9:
        raise ValueError(f"the message on {msg.subject} comes from no consumer")
    seq, number, stamp, left = map(int, tokens[5:9] if len(tokens) == 9 else tokens[7:11])
    seconds, fraction = divmod(stamp, 1_000_000_000)
    return Numbered(seq, number, seconds + fraction / 1e9, left)


def record_numbered(msg: Message, how: Numbered) -> Record:
    """Turn a message that a consumer has delivered into the record it is."""
    fact = decode(msg.data, msg.subject)
    shown = fact.json if isinstance(fact, Unknown) else msg.data
    return Record(how.seq, how.at, msg.subject, fact, shown, _traced(msg.head))


def _traced(head: bytes) -> str:
    """The `traceparent`, which is the last of our own headers."""
    if not head:
        return ""
    last = head.rstrip(b"\r\n").rpartition(b"\r\n")[2]
    return last[_TRACE:].decode(errors="replace") if last.startswith(b"traceparent: ") else ""


def record_by_leader(found: StoredMessage) -> Record:
    """Turn a message that the stream's leader has given into the record it is."""
    fact = decode(found.data, found.subject)
    shown = fact.json if isinstance(fact, Unknown) else found.data
    at = epoch_seconds(found.time)
    return Record(found.seq, at, found.subject, fact, shown, _traced(found.hdrs))


_seconds: dict[bytes, float] = {}


def _whole_second(text: bytes) -> float:
    """Parse seconds once: the messages of one second share it."""
    known = _seconds.get(text)
    if known is None:
        _seconds.clear()
        known = datetime.fromisoformat(text.decode()).replace(tzinfo=UTC).timestamp()
        _seconds[text] = known
    return known
