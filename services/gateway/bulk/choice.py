"""Which tasks an operation is about: those that are named, or those that a filter chooses."""

from __future__ import annotations

import msgspec

from contracts.errors import Reason, Rejected
from contracts.ids import check_token
from contracts.operation import MOST_TASKS, Action
from contracts.status import Status
from contracts.tags import MOST_TAGS, Tags
from services.gateway import lists
from services.gateway.rows import Query
from services.log.projection import Projection

Time = str | float
"""Seconds since the epoch, or a time as in RFC 3339."""
PAGE = 1000
"""Tasks that are read at once."""


class OperationFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of one's own tasks: those that fit all that is given, as at `GET /api/tasks`."""

    status: list[Status] = []
    type: str | None = None
    host: str | None = None
    tag: list[str] = []
    text: str | None = None
    project: str | None = None
    batch: str | None = None
    over: bool | None = None
    created_after: Time | None = None
    created_before: Time | None = None
    ended_after: Time | None = None
    ended_before: Time | None = None
    longer_s: float | None = None
    shorter_s: float | None = None


class NewOperation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done with which tasks: give `ids` or `filter`."""

    action: Action
    ids: list[str] | None = None
    """Tasks of one's own, at most 10,000."""
    filter: OperationFilter | None = None
    """Of what is cancelled, only those that are not over."""
    tags: Tags | None = None
    """Of the action `tag`: the tags that they have then, in place of those that they had."""
    id: str | None = None
    """Its id, at most 58 characters; sent again under it, it is the same operation."""


def check(wanted: NewOperation) -> None:
    """Refuse what does not say what is to be done. Pure. Raises Rejected."""
    if (wanted.ids is None) == (wanted.filter is None):
        raise Rejected(Reason.BAD_REQUEST, "give either `ids` or `filter`")
    if (wanted.tags is None) == (wanted.action is Action.TAG):
        raise Rejected(Reason.BAD_REQUEST, "`tags` go with the action `tag`, and with no other")
    if wanted.filter is not None and len(wanted.filter.tag) > MOST_TAGS:
        raise Rejected(Reason.BAD_REQUEST, f"`tag` may be given {MOST_TAGS} times")
    if wanted.ids is not None:
        if not wanted.ids:
            raise Rejected(Reason.BAD_REQUEST, "`ids` names no task")
        if len(wanted.ids) > MOST_TASKS:
            raise _too_many(f"{len(wanted.ids)} tasks are named")
        for task in wanted.ids:
            check_token(task, "task id")


async def chosen(projection: Projection, wanted: NewOperation, query: Query) -> list[str]:
    """The tasks, each once; `query`: what the filter asks of the tables. Raises Rejected."""
    if wanted.filter is None:
        return list(dict.fromkeys(wanted.ids or ()))
    if wanted.action is Action.CANCEL and query.over is None:
        query = query._replace(over=False)
    found: list[str] = []
    cursor: int | None = None
    while True:
        page = query._replace(limit=PAGE, cursor=cursor)
        rows, cursor = await lists.list_tasks(projection, page)
        found += [row.id for row in rows]
        if len(found) > MOST_TASKS:
            raise _too_many(f"more than {MOST_TASKS} tasks fit the filter")
        if cursor is None:
            break
    if not found:
        raise Rejected(Reason.NOT_FOUND, "no task fits the filter")
    return found


def _too_many(what: str) -> Rejected:
    text = f"{what}, and an operation has at most {MOST_TASKS}: make several of it"
    return Rejected(Reason.TOO_LARGE, text)
