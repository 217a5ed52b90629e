"""What goes between a process and its workers: frames of MessagePack, of bounded size.

Ours sends `Welcome` once, then orders; a worker answers each with one `Finish`, and may tell and
ask on the way.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias, TypeVar

import msgspec

FRAME_BYTES = 16 * 1024 * 1024
"""Longest frame; a task's input of 8 MiB goes in one. Answers that are longer lie in files."""
_HEAD = 4


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The first frame to a worker."""

    folder: str
    """Where it may leave files; empty: nowhere."""


class Order(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Have something done."""

    id: int
    verb: str
    body: bytes


class Recall(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Cancel an order; its `Finish` comes all the same."""

    id: int


class Reply(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The answer to a question."""

    id: int
    number: int
    body: bytes


class Pulse(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The worker's loop goes round, and what it has used."""

    cpu_s: float
    kept_bytes: int
    """In the files that it has left."""


class Word(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Something to know about an order."""

    id: int
    body: bytes


class Question(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Something that the order waits for."""

    id: int
    number: int
    body: bytes


class Finish(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The end of an order."""

    id: int
    body: bytes
    file: str = ""
    """Name of a file in the worker's folder that belongs to the answer."""
    broken: str = ""
    """Not empty: the handler broke, or the order was recalled, and there is no answer."""


ToWorker: TypeAlias = Welcome | Order | Recall | Reply
FromWorker: TypeAlias = Pulse | Word | Question | Finish

to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_encoder = msgspec.msgpack.Encoder()
_T = TypeVar("_T")


def frame(message: ToWorker | FromWorker) -> bytes:
    """The bytes of one message. Raises ValueError for one that is too long."""
    data = _encoder.encode(message)
    if len(data) > FRAME_BYTES:
        raise ValueError(f"{len(data)} bytes in one frame; {FRAME_BYTES} is the most")
    return len(data).to_bytes(_HEAD) + data


async def receive(reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[_T]) -> _T:
    """Read one message.

    Raises EOFError at the end, ValueError for what is none.
    """
    try:
        length = int.from_bytes(await reader.readexactly(_HEAD))
        if length > FRAME_BYTES:
            raise ValueError(f"a frame of {length} bytes")
        return decoder.decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError from error
