"""What the gateway's tables hold, as the API shows it, and what is asked of them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from contracts.asks import TaskQuestion
from contracts.facts import Failure
from contracts.host import HealthStatus, Host
from contracts.status import Status
from contracts.task import Priority


class TaskRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task in a list: everything but its input and its result."""

    id: str
    user: str
    type: str
    priority: Priority
    status: Status
    created_seq: int
    """Also the cursor: `?cursor=` this value continues after this task."""
    created_at: float
    seq: int
    updated_at: float
    done_at: float | None = None
    attempt: int = 0
    host: str = ""
    cancel_requested: bool = False
    error: Failure | None = None
    """Why it failed, or why its latest attempt did."""
    asked_by: str = ""
    """On whose authority, as in `task.created`."""
    project: str = ""
    """The project it belongs to; empty: none."""
    asks: str = ""
    """What it asks, while it waits for the answer; the task itself has the whole question."""
    tags: dict[str, str] = {}
    """As they are now."""
    again: str = ""
    """Not empty: the task that this one repeats."""
    batch: str = ""
    """The batch that it belongs to; empty: none."""


class AskRow(msgspec.Struct, frozen=True):
    """A task that waits for an answer."""

    user: str
    task: str
    type: str
    created_seq: int
    asked_by: str
    project: str
    question: TaskQuestion


class HostHealth(msgspec.Struct, frozen=True):
    """What the last probes said."""

    status: HealthStatus
    reason: str = ""
    latency_ms: float = 0.0
    checked_at: float | None = None
    """Log time of the last change; none: never probed."""
    said: str = ""
    """Why its program did not start, in the program's own words; for admins and auditors."""


class HostView(Host, frozen=True, kw_only=True, omit_defaults=False):
    """A host as the API shows it."""

    seq: int
    """Sequence of its registration."""
    health: HostHealth


class Preference(msgspec.Struct, frozen=True):
    """What a user has said about a host and not taken back."""

    host: str
    weight: float
    """0 (avoid) to 1 (prefer)."""
    since: float
    """Log time, seconds since the epoch."""


class Query(NamedTuple):
    """Which tasks to list, newest first: those of a user, of a project, or of both."""

    user: str | None
    limit: int = 50
    offset: int = 0
    """Only without what takes looking at each task, see `selection.TaskSelection.rest`."""
    cursor: int | None = None
    status: tuple[Status, ...] = ()
    """One of these; empty: any."""
    type: str | None = None
    project: str | None = None
    over: bool | None = None
    """Only those that are over, or only those that are not."""
    host: str | None = None
    """Where its latest attempt went."""
    tags: tuple[str, ...] = ()
    """All of these: `key`, or `key=value`."""
    batch: str | None = None
    text: str | None = None
    """Stands in the type or the id, whatever the case of its letters."""
    created_after: float | None = None
    """From this log time on; what is called `before` is before it."""
    created_before: float | None = None
    ended_after: float | None = None
    ended_before: float | None = None
    longer_s: float | None = None
    """Over, and so long or longer after its creation."""
    shorter_s: float | None = None
    """Over, and sooner than so."""


class Counts(msgspec.Struct, frozen=True):
    """How many tasks fit a filter."""

    total: int
    by_status: dict[str, int]
    """Statuses that no task has are left out."""
    more: bool = False
    """There are more: only the newest were counted."""
