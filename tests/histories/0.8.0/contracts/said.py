"""Log messages of hosts, on their way outside the log: to whoever waits for the task's end."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import msgspec

LogLevel: TypeAlias = Literal[
    "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"
]
LOG_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)
"""Of MCP, by rising severity."""


class LogMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A log message of a host about a running attempt, on `said.<user>.<task>`."""

    user: str
    task: str
    attempt: int
    level: LogLevel
    data: msgspec.Raw
    """Any JSON; of a long one the beginning, as a text."""
    logger: str = ""


def reaches(level: LogLevel, wanted: LogLevel) -> bool:
    """Whether who wants this level and what is more severe wants a message of that one."""
    return LOG_LEVELS.index(level) >= LOG_LEVELS.index(wanted)
