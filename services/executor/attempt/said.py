"""Log messages of a host that are passed on: short ones, a few at once and then ten a second.

Those left out are counted, and the count is told. Pure.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from contracts.nesting import too_deep
from contracts.said import LogLevel

SAID_BYTES = 8192
"""Of the JSON in one message; of a longer one its beginning is passed on, as a text."""
SAID_S = 0.1
"""Time between two messages of a host that says much."""
AT_ONCE = 50
"""Messages that may come together."""
LOGGER_CHARS = 200
OURSELVES = "metamcp"


class LogLine(NamedTuple):
    """A log message as it is passed on."""

    level: LogLevel
    data: bytes
    """JSON."""
    logger: str = ""


class SaidPace:
    """The pace of one attempt's log messages."""

    __slots__ = ("_at", "_left_out", "_room")

    def __init__(self) -> None:
        self._room = float(AT_ONCE)
        self._at = 0.0
        self._left_out = 0

    def passed(self, now: float, message: LogLine) -> list[LogLine]:
        """What is passed on for this message; `now` is monotonic."""
        self._room = min(float(AT_ONCE), self._room + (now - self._at) / SAID_S)
        self._at = now
        if self._room < 1:
            self._left_out += 1
            return []
        self._room -= 1
        return [*self.rest(), message]

    def rest(self) -> list[LogLine]:
        """What has to be told of those left out."""
        if not self._left_out:
            return []
        text = f"log messages of the host that were left out here: {self._left_out}"
        self._left_out = 0
        return [LogLine("warning", msgspec.json.encode(text), OURSELVES)]


def shortened(level: LogLevel, data: Any, logger: str | None) -> LogLine:
    """A host's message within its bounds."""
    try:
        whole = msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError):
        whole = msgspec.json.encode("a log message that can't be passed on")
    if len(whole) > SAID_BYTES or too_deep(whole):
        beginning = whole[: SAID_BYTES // 2].decode("utf-8", "ignore")
        whole = msgspec.json.encode(f"{beginning} … ({len(whole)} bytes)")
    return LogLine(level, whole, (logger or "")[:LOGGER_CHARS])
