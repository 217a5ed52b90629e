"""Tasks out of the gateway's tables: a user's, a project's, and what those count."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import msgspec

from contracts.approval import may_approve
from contracts.asks import TaskQuestion
from contracts.errors import Reason, Rejected
from contracts.facts import Failure
from contracts.permitted import Asker
from contracts.status import Status
from contracts.task import Priority
from services.gateway.people.load import DAY_S, ProjectDayRow, ProjectOpenRow
from services.gateway.rows import AskRow, Counts, Query, TaskRow
from services.gateway.selection import END, Range, select, spans, statuses, tag_count
from services.log.projection import Projection, reads

_ASKED = "user, id, type, created_seq, asked_by, project, question"
LOOKED = 200
"""Questions looked at with one query."""
LOOKS = 10
"""Queries for one page of questions."""
_created = itemgetter(5)
LOOKS_AT = (500, 4_500, 15_000)
"""Tasks that are looked at for one page, step by step."""
RARE = 1000
"""Of more tasks with a tag it is not counted how many there are."""
MOST_COUNTED = 100_000
"""Tasks that are looked at to count them."""


@reads
async def list_tasks(projection: Projection, query: Query) -> tuple[list[TaskRow], int | None]:
    """A page of a user's tasks, or a project's, newest first, and where the next begins.

    Where each has to be looked at, it looks at a bounded number of them: the page may be short, or
    empty, though there are more. Raises Rejected(BAD_REQUEST).
    """
    if not (wanted := statuses(query)):
        return [], None
    query, within = await _rarest_first(projection, query), await _within(projection, query)
    found = select(query, wanted, within)
    if found.exact:
        rows = await projection.query(*found.page(query.limit + 1, query.offset))
        return _page(rows, query.limit, None)
    if query.offset:
        text = "offset: not where each task has to be looked at; use `cursor`"
        raise Rejected(Reason.BAD_REQUEST, text)
    rows, cursor = [], query.cursor
    for looked in LOOKS_AT:
        found = select(query._replace(cursor=cursor), wanted, within)
        room = query.limit + 1 - len(rows)
        rows += await projection.query(*found.looked(looked, room))
        last = await projection.query(*found.last(looked))
        cursor = last[0][0] if last else None
        if cursor is None or len(rows) > query.limit:
            break
    return _page(rows, query.limit, cursor)


async def _rarest_first(projection: Projection, query: Query) -> Query:
    """The same with the tag first that fewest tasks have."""
    if len(query.tags) < 2 or query.batch is not None:
        return query
    found = [await projection.query(*tag_count(query, tag, RARE)) for tag in query.tags]
    ranked = sorted(zip(found, query.tags, strict=True), key=itemgetter(0))
    return query._replace(tags=tuple(tag for _, tag in ranked))


async def _within(projection: Projection, query: Query) -> Range:
    """Where tasks of the times that are asked for can be."""
    if (asked := spans(query)) is None:
        return Range()
    ((first, last),) = await projection.query(*asked)
    return Range(END if first is None else first, 0 if last is None else last + 1)


def _page(
    rows: list[tuple[Any, ...]], limit: int, cursor: int | None
) -> tuple[list[TaskRow], int | None]:
    """The page of what was read, one more than its size; else the next begins at `cursor`."""
    # A join keeps the order of its left side, but does not promise to.
    rows.sort(key=_created, reverse=True)
    more = rows[limit - 1][5] if len(rows) > limit else cursor
    return [_task_row(row) for row in rows[:limit]], more


@reads
async def count_tasks(projection: Projection, query: Query) -> Counts:
    """How many tasks fit, of the newest `MOST_COUNTED` of each status that an index finds; of all
    together where it does not tell them apart."""
    if not (wanted := statuses(query)):
        return Counts(0, {})
    query, within = await _rarest_first(projection, query), await _within(projection, query)
    found = select(query, wanted, within)
    counted = await projection.query(*found.counted(MOST_COUNTED))
    by_status = {status: fit for status, fit, _ in counted if fit}
    looked = [looked for _, _, looked in counted]
    most = max(looked, default=0) if found.each else sum(looked)
    return Counts(sum(by_status.values()), by_status, most >= MOST_COUNTED)


@reads
async def list_asks(
    projection: Projection, who: Asker, limit: int, cursor: int | None, *, admin: bool
) -> tuple[list[AskRow], int | None]:
    """A page of the questions that somebody may answer, newest first, and where the next begins.

    Of others' questions it looks at a bounded number: the page may be short, or empty.
    """
    found: list[AskRow] = []
    for _ in range(LOOKS):
        rows = await projection.query(*ask_statement(who.user, cursor, admin=admin))
        for user, task, type_, cursor, asked_by, project, text in rows:
            question = msgspec.json.decode(text, type=TaskQuestion)
            if user == who.user or may_approve(question.approvers, user, who, admin=admin):
                found.append(AskRow(user, task, type_, cursor, asked_by, project, question))
            if len(found) == limit:
                return found, cursor
        if len(rows) < LOOKED:
            return found, None
    return found, cursor


def ask_statement(user: str, cursor: int | None, *, admin: bool) -> tuple[str, tuple[object, ...]]:
    """The SELECT of the next questions that may be of somebody's concern."""
    # Without approvers a question is for the task's user and for admins.
    whose = "1" if admin else "(user = ? OR json_extract(question, '$.approvers') IS NOT NULL)"
    return (
        f"SELECT {_ASKED} FROM tasks INDEXED BY tasks_asked WHERE status = 'input_required'"
        f" AND created_seq < ? AND {whose} ORDER BY created_seq DESC LIMIT ?",
        (END if cursor is None else cursor, *(() if admin else (user,)), LOOKED),
    )


@reads
async def in_flight(projection: Projection) -> dict[str, int]:
    """Return how many attempts each host has been given that are not over."""
    rows = await projection.query(
        "SELECT host, count(*) FROM tasks WHERE done_at IS NULL AND host != '' GROUP BY host"
    )
    return dict(rows)


@reads
async def open_in_projects(projection: Projection) -> list[ProjectOpenRow]:
    """Return the tasks of projects that are not over."""
    rows = await projection.query(
        "SELECT project, user, id FROM tasks WHERE project != '' AND done_at IS NULL"
    )
    return [ProjectOpenRow(*row) for row in rows]


@reads
async def today_in_projects(projection: Projection) -> list[ProjectDayRow]:
    """Return how many tasks each project has of the newest day of which there are any."""
    ((newest,),) = await projection.query("SELECT max(created_at) FROM tasks WHERE project != ''")
    if newest is None:
        return []
    day = int(newest // DAY_S)
    rows = await projection.query(
        "SELECT project, count(*) FROM tasks WHERE project != '' AND created_at >= ?"
        " GROUP BY project",
        (day * DAY_S,),
    )
    return [ProjectDayRow(project, day, count) for project, count in rows]


def _task_row(row: tuple[Any, ...]) -> TaskRow:
    values = dict(zip(TaskRow.__struct_fields__, row, strict=True))
    values["priority"], values["status"] = Priority(row[3]), Status(row[4])
    values["cancel_requested"] = bool(row[12])
    values["error"] = msgspec.json.decode(row[13], type=Failure) if row[13] else None
    asks = values["status"] is Status.INPUT_REQUIRED and row[16]
    values["asks"] = msgspec.json.decode(row[16], type=TaskQuestion).message if asks else ""
    values["tags"] = msgspec.json.decode(row[17], type=dict[str, str]) if row[17] else {}
    return TaskRow(**values)
