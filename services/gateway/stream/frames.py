"""Bytes of the websocket: facts and frames encoded once, for however many readers.

Server frames carry no mask and no compression, so one finished frame serves every connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from contracts import wire
from contracts.facts import McpHealth, McpRegistered, Record
from contracts.host import for_users, operated
from contracts.permitted import ANYBODY, without_hidden
from services.gateway.domain import without_result
from services.gateway.stream.marks import mark_of
from services.gateway.visibility import Audience
from services.log.port import name_of

RESULTS = frozenset({"job.done", "job.failed", "result.stored"})
"""Facts that hold a result, or where it lies."""
FRAME_BYTES = 128 * 1024
"""Facts are packed into frames up to about this size; a bigger fact has a frame of its own."""


class Shows(NamedTuple):
    """How much of a fact is shown."""

    whole: bool = False
    """As it is stored, not as users see it."""
    results: bool = True
    """With results, and where they lie."""


class FeedEntry(msgspec.Struct, frozen=True, gc=False):
    """A fact ready to be sent."""

    seq: int
    type: str
    audience: Audience
    text: bytes
    """A `contracts.wire.Event`; its event is the stored JSON, byte for byte."""
    public: bytes
    """The same as users see it: mostly the same bytes."""
    name: str
    """See `log.port.name_of`."""

    @property
    def mark(self) -> str:
        """What a cursor at this fact proves its past with."""
        return mark_of(self.seq, self.name)

    @property
    def size(self) -> int:
        """Bytes it takes."""
        aside = 0 if self.public is self.text else len(self.public)
        return len(self.text) + aside

    def shown(self, shows: Shows) -> bytes:
        """The event for a reader, who may see all of it or not."""
        text = self.text if shows.whole else self.public
        return text if shows.results or self.type not in RESULTS else _without_result(text)


_encode = msgspec.json.Encoder().encode
_event: msgspec.json.Decoder[wire.Event] = msgspec.json.Decoder(wire.Event)


def entry(record: Record, audience: Audience) -> FeedEntry:
    """Encode one fact for all its readers."""
    seq, subject = record.seq, record.subject
    stop = subject.find(".", subject.find(".") + 1)
    tag = subject if stop < 0 else subject[:stop]
    event = wire.Event(seq, record.at, msgspec.Raw(record.data))
    text = public = _encode(event)
    if isinstance(record.fact, McpRegistered) and operated(record.fact.spec):
        seen = msgspec.structs.replace(
            record.fact, spec=for_users(without_hidden(record.fact.spec, ANYBODY))
        )
        public = _encode(wire.Event(seq, record.at, msgspec.Raw(_encode(seen))))
    elif isinstance(record.fact, McpHealth) and record.fact.said:
        heard = msgspec.structs.replace(record.fact, said="")
        public = _encode(wire.Event(seq, record.at, msgspec.Raw(_encode(heard))))
    return FeedEntry(seq, tag, audience, text, public, name_of(record))


def _without_result(text: bytes) -> bytes:
    event = _event.decode(text)
    data = without_result(bytes(event.event))
    return _encode(wire.Event(event.seq, event.at, msgspec.Raw(data)))


def text_frame(payload: bytes) -> bytes:
    """Wrap a JSON text as one unfragmented websocket frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def payload(frame: bytes) -> memoryview:
    """The JSON text of a frame that `text_frame` has made."""
    size = frame[1] & 0x7F
    return memoryview(frame)[{126: 4, 127: 10}.get(size, 2) :]


def message(frame: Any) -> bytes:
    """Encode one of `contracts.wire`'s server frames."""
    return text_frame(_encode(frame))


def event_frames(sub: str, items: Sequence[FeedEntry], shows: Shows) -> list[bytes]:
    """Pack facts into `events` frames for a subscription of this name."""
    name = msgspec.json.encode(sub)
    return [
        text_frame(
            b'{"op":"events","sub":%b,"mark":"%b","events":[%b]}'
            % (name, last.mark.encode(), b",".join(part))
        )
        for part, last in _packed(items, shows)
    ]


def _packed(items: Iterable[FeedEntry], shows: Shows) -> Iterator[tuple[list[bytes], FeedEntry]]:
    """The texts of one frame each, and its last fact."""
    part: list[bytes] = []
    size, last = 0, None
    for item in items:
        text = item.shown(shows)
        if last and size + len(text) > FRAME_BYTES:
            yield part, last
            part, size = [], 0
        part.append(text)
        size += len(text) + 1
        last = item
    if last:
        yield part, last
