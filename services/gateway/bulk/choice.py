"""Which tasks an operation is about: those that are named, or those that a filter chooses."""

from __future__ import annotations

import msgspec

from contracts.errors import Reason, Rejected
from contracts.ids import check_token
from contracts.operation import MOST_TASKS, Action
from contracts.status import Status
from contracts.tags import Tags
from services.gateway import lists
from services.gateway.rows import Query
from services.log.projection import Projection

PAGE = 1000
"""Tasks that are read at once."""


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of one's tasks: those that fit everything that is given, as `GET /api/tasks` has it."""

    status: list[Status] | None = None
    type: str | None = None
    project: str | None = None
    over: bool | None = None


class NewOperation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done with which tasks: give `ids` or `filter`."""

    action: Action
    ids: list[str] | None = None
    """Tasks of one's own, at most 10,000."""
    filter: TaskFilter | None = None
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
    if wanted.ids is not None:
        if not wanted.ids:
            raise Rejected(Reason.BAD_REQUEST, "`ids` names no task")
        if len(wanted.ids) > MOST_TASKS:
            raise _too_many(f"{len(wanted.ids)} tasks are named")
        for task in wanted.ids:
            check_token(task, "task id")


async def chosen(projection: Projection, user: str, wanted: NewOperation) -> list[str]:
    """The tasks of a user, each once. Raises Rejected."""
    check(wanted)
    if wanted.filter is None:
        return list(dict.fromkeys(wanted.ids or ()))
    query = query_of(user, wanted.filter)
    if wanted.action is Action.CANCEL and query.over is None:
        query = query._replace(over=False)
    found: list[str] = []
    cursor: int | None = None
    while True:
        rows = await lists.list_tasks(projection, query._replace(limit=PAGE, cursor=cursor))
        found += [row.id for row in rows]
        if len(found) > MOST_TASKS:
            raise _too_many(f"more than {MOST_TASKS} tasks fit the filter")
        if len(rows) < PAGE:
            break
        cursor = rows[-1].created_seq
    if not found:
        raise Rejected(Reason.NOT_FOUND, "no task fits the filter")
    return found


def query_of(user: str, given: TaskFilter) -> Query:
    """What a filter asks of the tables. Pure."""
    raise NotImplementedError


def _too_many(what: str) -> Rejected:
    text = f"{what}, and an operation has at most {MOST_TASKS}: make several of it"
    return Rejected(Reason.TOO_LARGE, text)
