"""Tasks out of the gateway's tables: a user's, a project's, and what those count."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.facts import Failure
from contracts.status import Status
from contracts.task import Priority
from services.gateway.people.load import DAY_S, ProjectDayRow, ProjectOpenRow
from services.gateway.rows import Query, TaskRow
from services.log.projection import Projection


async def list_tasks(projection: Projection, query: Query) -> list[TaskRow]:
    """Return a page of a user's tasks, or a project's, newest first."""
    extra: list[tuple[str, object]] = [
        ("user = ?", query.user),
        # The index of projects holds only what has one.
        ("project != '' AND project = ?", query.project),
        ("created_seq < ?", query.cursor),
        ("status = ?", query.status.value if query.status else None),
        ("type = ?", query.type),
        ("(done_at IS NOT NULL) = ?", query.over),
    ]
    where = [text for text, value in extra if value is not None]
    values = [value for _, value in extra if value is not None]
    rows = await projection.query(
        "SELECT id, user, type, priority, status, created_seq, created_at, seq, updated_at,"
        " done_at, attempt, host, cancel_requested, error, asked_by, project FROM tasks"
        f" WHERE {' AND '.join(where)} ORDER BY created_seq DESC LIMIT ? OFFSET ?",
        (*values, query.limit, query.offset),
    )
    return [_task_row(row) for row in rows]


async def in_flight(projection: Projection) -> dict[str, int]:
    """Return how many attempts each host has been given that are not over."""
    rows = await projection.query(
        "SELECT host, count(*) FROM tasks WHERE done_at IS NULL AND host != '' GROUP BY host"
    )
    return dict(rows)


async def open_in_projects(projection: Projection) -> list[ProjectOpenRow]:
    """Return the tasks of projects that are not over."""
    rows = await projection.query(
        "SELECT project, user, id FROM tasks WHERE project != '' AND done_at IS NULL"
    )
    return [ProjectOpenRow(*row) for row in rows]


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
    return TaskRow(**values)
