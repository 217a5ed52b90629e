"""Tasks out of the gateway's tables: a user's, a project's, and what those count."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import msgspec

from contracts.approval import may_approve
from contracts.asks import TaskQuestion
from contracts.facts import Failure
from contracts.permitted import Asker
from contracts.status import OVER, Status
from contracts.task import Priority
from services.gateway.people.load import DAY_S, ProjectDayRow, ProjectOpenRow
from services.gateway.rows import AskRow, Query, TaskRow
from services.log.projection import Projection, reads

_COLUMNS = (
    "id, user, type, priority, status, tasks.created_seq, created_at, seq, updated_at, done_at,"
    " attempt, host, cancel_requested, error, asked_by, project, question"
)
_ASKED = "user, id, type, created_seq, asked_by, project, question"
LOOKED = 200
"""Questions looked at with one query."""
LOOKS = 10
"""Queries for one page of questions."""
_created = itemgetter(5)
_END = 2**63 - 1


@reads
async def list_tasks(projection: Projection, query: Query) -> list[TaskRow]:
    """Return a page of a user's tasks, or a project's, newest first."""
    if not (statuses := _statuses(query)):
        return []
    rows = await projection.query(*statement(query, statuses))
    # A join keeps the order of its left side, but does not promise to.
    rows.sort(key=_created, reverse=True)
    return [_task_row(row) for row in rows]


def statement(query: Query, statuses: Sequence[Status]) -> tuple[str, tuple[object, ...]]:
    """The SELECT of a page, whose cost does not depend on how many tasks there are.

    Each status is read by itself, in order, out of an index that begins with all that is asked for;
    SQLite merges them, and reads no more of them than the page needs.
    """
    wanted: list[tuple[str, object]] = [
        ("user = ?", query.user),
        # The indexes of projects hold only what has one.
        ("project != '' AND project = ?", query.project),
        ("type = ?", query.type),
        ("created_seq < ?", _END if query.cursor is None else query.cursor),
    ]
    where = " AND ".join(text for text, value in wanted if value is not None)
    values = [value for _, value in wanted if value is not None]
    one = f"SELECT created_seq, user, id FROM tasks WHERE status = ? AND {where}"
    keys = " UNION ALL ".join([one] * len(statuses))
    given = [value for status in statuses for value in (status.value, *values)]
    return (
        f"SELECT {_COLUMNS} FROM ({keys} ORDER BY created_seq DESC LIMIT ? OFFSET ?) AS page"
        " CROSS JOIN tasks USING (user, id)",
        (*given, query.limit, query.offset),
    )


def _statuses(query: Query) -> list[Status]:
    """Those that the tasks of the page may have."""
    over, status = query.over, query.status
    return [one for one in Status if over in (None, one in OVER) and status in (None, one)]


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
        (_END if cursor is None else cursor, *(() if admin else (user,)), LOOKED),
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
    return TaskRow(**values)
