"""What a router says of its queue, when asked by `cmd.router.queue`: who waits for what, and where.

Every router answers; only the active one has a queue. Nothing of it is in the log: the order is
what the router has in mind at that moment.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contracts.task import Priority

MOST_PLACED = 2_000
"""Tasks of the whole queue that have a position; those behind them are counted only."""
MOST_WAITS = 100
"""Reasons that an answer names, those of most tasks first."""
MOST_NAMED_HOSTS = 8
"""Hosts named for one task or reason."""


class WaitReason(StrEnum):
    """What an open task that does not run waits for."""

    TURN = "turn"
    """A slot of an executor, or only its turn."""
    HOST_BUSY = "host_busy"
    """A slot of one of these hosts."""
    HOST_DOWN = "host_down"
    """That its host works again."""
    SHARE = "share"
    """An attempt of the same user to end: they have their share of the slots."""
    NO_HOST = "no_host"
    """A host that can serve it: there is none yet."""
    LATER = "later"
    """Its time: a start in the future, or the pause after a failed attempt."""
    ANSWER = "answer"
    """A person's answer."""


class QueueRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.router.queue`: what waits, of one user or of all."""

    user: str | None = None
    after: int = 0
    """Only tasks behind this position."""
    limit: int = 50


class QueuedTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task that waits for a host."""

    position: int
    """From 1: its place in the whole queue, as it would be served now."""
    user: str
    task: str
    type: str
    priority: Priority
    since: float
    """Log time of its creation."""
    reason: WaitReason
    hosts: tuple[str, ...] = ()
    """Those of which it waits for one."""


class WaitCount(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many tasks wait for the same."""

    reason: WaitReason
    count: int
    hosts: tuple[str, ...] = ()


class QueueAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer of a router to a `QueueRequest`."""

    instance: str
    active: bool
    """Whether it decides; all that follows is of the active one."""
    term: int
    """The newest it knows of."""
    position: int
    """Last sequence it has applied."""
    waiting: int = 0
    """Tasks in the queue, of whom was asked for."""
    every: int = 0
    """Those of all users."""
    in_flight: int = 0
    """Attempts on their way or running, of all users."""
    slots: int | None = None
    """Slots of all executors that beat; None: they don't say."""
    waits: tuple[WaitCount, ...] = ()
    tasks: tuple[QueuedTask, ...] = ()
    """In order."""
    hosts: dict[str, int] = {}
    """Attempts in flight on each host that has any."""
