"""JSON that a server has not quite written, made into JSON: as little is changed as can be.

A mark before the first byte goes, half of a surrogate pair becomes U+FFFD, and NaN, infinities and
numbers beyond them become null. Pure; works in parts, so that a long one needs no memory.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable, Iterator

DIGITS = 4300
"""Digits of the longest whole number that can be read."""
_BOM = codecs.BOM_UTF8
_PAIR = 12
"""Bytes of the longest token but numbers: a surrogate pair."""
_LONGEST = 64 * 1024
"""Bytes of a number."""
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_TOKEN = re.compile(
    rb"(?P<pair>" + _HIGH + _LOW + rb")|(?P<half>" + _HIGH + rb"|" + _LOW + rb")"
    rb'|(?P<escape>\\.)|(?P<quote>")|(?P<nan>-?(?:NaN|Infinity)\b)'
    rb"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)",
    re.DOTALL,
)
_HALVES = re.compile(
    _HIGH + rb"(?!" + _LOW + rb")|" + _LOW + rb"(?<!\\u[dD][89abAB]..\\u[dD]...)", re.DOTALL
)
_RUN = 150
"""Digits in a row that are looked for: a number of more than twice as many has so many."""
OVERLAP = 512
"""Parts of a text that are looked through one by one overlap by so many bytes."""


class Beyond(ValueError):
    """There is a number in it that nobody can read."""


class Repair:
    """One text on its way through."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False
        self._in_string = False

    def part(self, data: bytes, *, last: bool = False) -> bytes:
        """Take the next bytes, give those that are certain now. Raises Beyond."""
        data = self._rest + data
        if not self._begun and (len(data) >= len(_BOM) or last):
            self._begun = True
            data = data.removeprefix(_BOM)
        # Whatever begins before this is there as a whole, but for a number at the end.
        safe = len(data) if last else max(0, len(data) - _PAIR)
        out: list[bytes] = []
        done = 0
        for token in _TOKEN.finditer(data):
            start, end = token.span()
            if start >= safe:
                break
            if not last and token.lastgroup == "number" and end == len(data):
                safe = start
                if end - start > _LONGEST and not self._in_string:
                    raise Beyond(f"a number in it has more than {_LONGEST} digits")
                break
            out += (data[done:start], self._changed(token))
            done = end
        safe = max(safe, done)
        out.append(data[done:safe])
        self._rest = data[safe:]
        return b"".join(out)

    def _changed(self, token: re.Match[bytes]) -> bytes:
        text = token[0]
        match token.lastgroup:
            case "quote":
                self._in_string = not self._in_string
            case "half":
                return rb"\ufffd"
            case "nan" if not self._in_string:
                return b"null"
            case "number" if not self._in_string and len(text) > 3:
                return _number(text)
        return text


def _number(text: bytes) -> bytes:
    if text.lstrip(b"-").isdigit():
        if len(text) > DIGITS:
            raise Beyond(f"a number in it has more than {DIGITS} digits")
        return text
    return text if math.isfinite(float(text)) else b"null"


def suspect(part: bytes) -> bool:
    """Whether something may have to be changed here, or can't be read, which looks like JSON to
    who skips over it."""
    if b"\\u" in part and _HALVES.search(part):
        return True
    return any(part[at : at + _RUN].isdigit() for at in range(0, len(part) - _RUN, _RUN))


def repaired(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same text, repaired. Raises Beyond."""
    repair = Repair()
    for part in parts:
        yield repair.part(part)
    yield repair.part(b"", last=True)
