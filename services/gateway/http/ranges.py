"""The `Range` header (RFC 9110, section 14): which bytes of a known size are asked for. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_ONE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE | re.ASCII)


class Unsatisfiable(Exception):
    """None of the bytes that are asked for are there: 416."""


class ByteRange(NamedTuple):
    """The bytes from `start` on, up to and without `stop`."""

    start: int
    stop: int


def asked_for(header: str | None, size: int, *, matches: bool = True) -> ByteRange | None:
    """The part that is asked for; None: the whole.

    `matches`: what `If-Range` names is what is there; else the whole is answered. A header that
    makes no sense, or asks for several parts, is answered with the whole as well. Raises
    Unsatisfiable.
    """
    found = _ONE.fullmatch(header or "")
    if found is None or not matches:
        return None
    first, last = found[1], found[2]
    if not first:
        if not last:
            return None
        if int(last) == 0 or size == 0:
            raise Unsatisfiable
        return ByteRange(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return ByteRange(int(first), min(size, int(last) + 1) if last else size)


def names(header: str | None, tag: str) -> bool:
    """Whether a header such as `If-None-Match` names this entity tag, or all with `*`."""
    if header is None:
        return False
    tags = {part.strip().removeprefix("W/") for part in header.split(",")}
    return "*" in tags or tag in tags
