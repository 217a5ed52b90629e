"""Batches and operations as the API takes and shows them."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from contracts.operation import Action, StepFailure
from contracts.status import Status

State = Literal["running", "done", "stopped"]


class BatchView(msgspec.Struct, frozen=True):
    """Tasks that were sent together, and how they are."""

    id: str
    total: int
    """Tasks that were accepted so far."""
    by_status: dict[Status, int]
    created_at: float
    created_seq: int
    """Of the first of its tasks; also the cursor: `?cursor=` this value continues behind it."""
    ended_at: float | None
    """When the last of them ended; null while some go on."""


class LineRefused(msgspec.Struct, frozen=True):
    """A task of a batch that was not accepted."""

    line: int
    """Counts from 1."""
    reason: str
    message: str


class BatchAccepted(msgspec.Struct, frozen=True):
    """What has become of a batch's tasks: those that were accepted stay so."""

    batch: str
    accepted: int
    duplicates: int
    """Tasks that were there already, from the same batch sent before."""
    refused_count: int
    refused: list[LineRefused]
    """The first of them, in order."""
    cut: bool = False
    """The body ended too early, or was too long: what was whole of it counts."""


class OperationView(msgspec.Struct, frozen=True, kw_only=True):
    """A wish about many tasks, and how far it has got."""

    id: str
    user: str
    action: Action
    state: State
    total: int
    done: int
    failed: int
    created_seq: int
    """Also the cursor: `?cursor=` this value continues behind it."""
    created_at: float
    updated_at: float
    tags: dict[str, str] = {}
    """Of the action `tag`."""
    failures: tuple[StepFailure, ...] = ()
    """The first of them; not in lists."""


class OpenOperation(NamedTuple):
    """An operation that is not over."""

    user: str
    id: str
    by: str
    """The gateway that has accepted it."""
    seq: int
    parts: int
    updated_at: float
    """Log time of its latest fact."""


class TaskEnd(NamedTuple):
    """Whether a task is over, or on its way there."""

    over: bool
    cancelled: bool
    """Somebody has asked for its end."""
    status: str
    tags: dict[str, str]
