"""Bytes of the websocket: facts and frames encoded once, for however many readers.

Server frames carry no mask and no compression, so one finished frame serves every connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from contracts import wire
from contracts.facts import Record
from services.gateway.domain import Audience

FRAME_BYTES = 128 * 1024
"""Facts are packed into frames up to about this size; a bigger fact has a frame of its own."""


class FeedEntry(msgspec.Struct, frozen=True, gc=False):
    """A fact ready to be sent."""

    seq: int
    type: str
    audience: Audience
    text: bytes
    """A `contracts.wire.Event`; its event is the stored JSON, byte for byte."""


_encode = msgspec.json.Encoder().encode


def entry(record: Record, audience: Audience) -> FeedEntry:
    """Encode one fact for all its readers."""
    seq, subject = record.seq, record.subject
    stop = subject.find(".", subject.find(".") + 1)
    tag = subject if stop < 0 else subject[:stop]
    event = wire.Event(seq, record.at, msgspec.Raw(record.data))
    return FeedEntry(seq, tag, audience, _encode(event))


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


def event_frames(sub: str, texts: Sequence[bytes]) -> list[bytes]:
    """Pack facts into `events` frames for a subscription of this name."""
    name = msgspec.json.encode(sub)
    return [
        text_frame(b'{"op":"events","sub":%b,"events":[%b]}' % (name, b",".join(part)))
        for part in _packed(texts)
    ]


def _packed(texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for text in texts:
        if part and size + len(text) > FRAME_BYTES:
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text) + 1
    if part:
        yield part
