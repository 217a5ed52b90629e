"""A batch's body, cut into tasks as it comes: JSON lines, or one JSON object with `tasks`.

Of what is no task only the number is kept, so that the lines after it count right.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator

import msgspec

from contracts.errors import Reason, Rejected
from contracts.nesting import MAX_DEPTH
from contracts.operation import MOST_TASKS
from services.gateway import domain
from services.gateway.domain import UNREADABLE

MOST_BODY = 32 * 1024 * 1024
"""Bytes of one batch."""
MOST_OBJECT = 8 * 1024 * 1024
"""Bytes of one that is a single object."""
MOST_LINE = 1024 * 1024
"""Bytes of one task in it; big inputs are sent as blobs."""
LINES = "application/x-ndjson"
_TASKS_NESTING = MAX_DEPTH + 2


class _Any(msgspec.Struct, gc=False):
    """An object, whatever is in it."""


class _Counted(msgspec.Struct, forbid_unknown_fields=True):
    tasks: list[_Any]


class _Whole(msgspec.Struct):
    tasks: list[msgspec.Raw]


_counted: msgspec.json.Decoder[_Counted] = msgspec.json.Decoder(_Counted)
_whole: msgspec.json.Decoder[_Whole] = msgspec.json.Decoder(_Whole)


async def of_stream(body: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes | None]]:
    """Yield each line that is not blank with its number; None in place of one that is too long."""
    held, number, skipping = b"", 1, False
    async for part in body:
        *whole, rest = part.split(b"\n")
        for line in whole:
            yield number, None if skipping else _unmarked(number, held + line)
            held, number, skipping = b"", number + 1, False
        held = b"" if skipping else held + rest
        if len(held) > MOST_LINE:
            held, skipping = b"", True
    if held or skipping:
        yield number, None if skipping else _unmarked(number, held)


def _unmarked(number: int, line: bytes) -> bytes:
    """The line without the mark that some editors put before a file's first one. Pure."""
    return line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


async def of_object(body: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes | None]]:
    """The same of an object, whose tasks count from 1. Raises Rejected(BAD_REQUEST)."""
    data = await _read(body)
    domain.check_depth(data, "the batch", _TASKS_NESTING)
    try:
        # Counted first: what is held of a small thing is many times as big.
        if len(_counted.decode(data).tasks) > MOST_TASKS:
            text = f"a batch has at most {MOST_TASKS} tasks: send the rest as another"
            raise Rejected(Reason.TOO_LARGE, text)
        tasks = _whole.decode(data).tasks
    except UNREADABLE as error:
        text = f'not a batch like {{"tasks": [...]}}; JSON lines are `{LINES}`: {error}'
        raise Rejected(Reason.BAD_REQUEST, text) from None
    for number, task in enumerate(tasks, 1):
        yield number, bytes(task) if len(task) <= MOST_LINE else None


async def _read(body: AsyncIterator[bytes]) -> bytes:
    parts, size = [], 0
    async for part in body:
        parts.append(part)
        size += len(part)
        if size > MOST_OBJECT:
            text = f"a batch as one object has at most {MOST_OBJECT} bytes: send `{LINES}`"
            raise Rejected(Reason.TOO_LARGE, text)
    return b"".join(parts)
