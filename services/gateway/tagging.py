"""Tags of a task that is there, and the task that repeats another. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import Record
from contracts.status import TaskView
from contracts.tags import Tags, TaskTagged
from contracts.task import TaskSpec
from services.gateway import domain
from services.gateway.domain import TaskBody, no_task

MOST_CHANGES = 200
"""Of one task's tags."""
INVALID = "invalid"
"""Code of the error of a task that could not be understood."""
_INPUTS = {"input": "input_pointer", "input_pointer": "input"}
"""Of these a task has one."""


class TagsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All tags that a task is to have."""

    tags: Tags


def tagged(
    origin: domain.Origin, user: str, task: str, records: Sequence[Record], tags: Tags
) -> TaskTagged | None:
    """Return the fact that gives a task these tags; None if it has them.

    Raises Rejected(NOT_FOUND, UNAVAILABLE), Rejected(CONFLICT) after too many changes.
    """
    if (view := domain.view(task, list(records))) is None:
        raise no_task(task)
    said = [one for one in records if subjects.parse(one.subject).type == "task.tagged"]
    # What can't be read has given it tags that are not known, and its number is taken.
    readable = not said or isinstance(said[-1].fact, TaskTagged)
    if readable and view.tags == tags:
        return None
    k = subjects.parse(said[-1].subject).number + 1 if said else 1
    if k > MOST_CHANGES:
        text = f"the tags of task {task} were changed {MOST_CHANGES} times, the most there may be"
        raise Rejected(Reason.CONFLICT, text)
    return TaskTagged(
        id=origin.fact_id,
        by=origin.by,
        user=user,
        task=task,
        k=k,
        tags=tags,
        tagged_by=origin.user,
        authority=origin.asked_by,
    )


def parse_tags(data: bytes) -> Tags:
    """Read the body of a request that sets tags. Raises Rejected(BAD_REQUEST)."""
    domain.check_depth(data, "not tags: it")
    try:
        return msgspec.json.decode(data, type=TagsBody).tags
    except domain.UNREADABLE as error:
        text = f'not tags like {{"tags": {{"run": "7"}}}}: {error}'
        raise Rejected(Reason.BAD_REQUEST, text) from None


def edits_in(data: bytes) -> dict[str, msgspec.Raw]:
    """Read what is to be another way than in the old task. Raises Rejected(BAD_REQUEST)."""
    if not data.strip():
        return {}
    domain.check_depth(data, "not a task: it")
    try:
        return msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except domain.UNREADABLE as error:
        raise Rejected(Reason.BAD_REQUEST, f"not a task: {error}") from None


def repeated(
    view: TaskView, edits: Mapping[str, msgspec.Raw], made: TaskSpec | None = None
) -> TaskBody:
    """The task that repeats another: its spec, with `edits` in place of what it had; null stands
    for what a task has without saying anything.

    Tags are those it has now; where the new task is there already, `made`, those it was made with.
    Raises Rejected(BAD_REQUEST).
    """
    if "again" in edits:
        raise Rejected(Reason.BAD_REQUEST, "`again` is the task in the path: leave it out")
    if view.error is not None and view.error.code == INVALID:
        text = f"task {view.id} could not be understood: there is nothing to repeat"
        raise Rejected(Reason.BAD_REQUEST, text)
    spec = domain.as_asked(view.spec)
    told: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(spec), type=dict[str, msgspec.Raw]
    )
    told |= {"tags": view.tags if made is None else made.tags, "again": view.id}
    told.pop("batch", None)
    if view.project:
        told["project"] = view.project
    for name, value in edits.items():
        told.pop(_INPUTS.get(name, ""), None)
        if bytes(value).strip() == b"null":
            told.pop(name, None)
        else:
            told[name] = value
    return domain.parse_task(msgspec.json.encode(told))
