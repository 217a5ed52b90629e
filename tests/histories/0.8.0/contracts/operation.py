"""Operations: one wish about many tasks, carried out part by part.

The tasks are chosen once, when the operation is accepted; every part is stepped once.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contracts.errors import Reason, Rejected
from contracts.fact import Fact

MOST_TASKS = 10_000
"""Tasks of one operation, and of one batch."""
PART = 500
"""Tasks that one fact names, and one step works on."""
MOST_TOLD = 100
"""Failures of one step that are told one by one."""
LONGEST_ID = 58
"""Characters of the id of an operation or a batch: with `-10000` behind it, it is a task's id."""


class Action(StrEnum):
    """What is done with each of the tasks."""

    CANCEL = "cancel"
    AGAIN = "again"
    TAG = "tag"


class StepFailure(msgspec.Struct, frozen=True, gc=False):
    """What could not be done with one task, and why."""

    task: str
    reason: str
    """One of the API's reasons."""
    message: str
    """For people; at most 200 characters."""


class OperationStarted(Fact, frozen=True, kw_only=True, tag="operation.started", gc=False):
    """An operation was accepted: part `k` of the tasks that it is about.

    All parts are stored together, or none is.
    """

    user: str
    operation: str
    """Its id."""
    k: int
    """Counts the parts up from 1."""
    parts: int
    """How many there are."""
    total: int
    """Tasks of all parts."""
    action: Action
    """What is done with each of them."""
    tasks: tuple[str, ...]
    """The tasks of this part, all of them the user's."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """Of the action `tag`: the tags that they have then."""
    asked_by: str = ""
    """On whose authority, as in `task.created`."""
    roles: tuple[str, ...] = ()
    """Roles that whoever asked acted in, besides `user`."""


class OperationStepped(Fact, frozen=True, kw_only=True, tag="operation.stepped", gc=False):
    """Part `k` of an operation was worked on."""

    user: str
    operation: str
    """Its id."""
    k: int
    """The part."""
    done: int
    """Tasks with which it was done, or had been."""
    failed: int = 0
    """Tasks with which it could not be done …"""
    failures: tuple[StepFailure, ...] = ()
    """… and the first of them with the reason."""


class OperationStopped(Fact, frozen=True, kw_only=True, tag="operation.stopped", gc=False):
    """The user does not want what is left of an operation; no further part is begun."""

    user: str
    operation: str
    """Its id."""


def parts_of(tasks: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The tasks in parts, in order."""
    return [tasks[start : start + PART] for start in range(0, len(tasks), PART)]


def derived(of: str, number: int) -> str:
    """The id of the task that an operation or a batch has made as its `number`th."""
    return f"{of}-{number}"


def derived_from(task: str) -> str:
    """The operation or batch whose task this may be, going by its id; empty: none."""
    of, _, number = task.rpartition("-")
    return of if number.isascii() and number.isdecimal() and number[0] != "0" else ""


def check_short(id_: str, what: str) -> str:
    """Return an id that leaves room for a number. Raises Rejected(BAD_ID)."""
    if len(id_) > LONGEST_ID:
        text = f"{what} has {len(id_)} characters, more than {LONGEST_ID}: its tasks' ids would be"
        raise Rejected(Reason.BAD_ID, f"{text} too long")
    return id_
