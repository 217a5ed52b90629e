"""Routes under `/api/tasks`. Other users' tasks do not exist: 404."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter, RawBody

from contracts import scopes
from contracts.facts import Record, TaskRouted
from contracts.route import Route
from contracts.status import TaskView
from contracts.wire import Event
from services.gateway import domain, lists
from services.gateway.domain import TaskBody, no_task, parse_task
from services.gateway.http.filters import FILTERED, Filtered
from services.gateway.http.paging import Mark, next_mark, proven
from services.gateway.http.parts import (
    Asking,
    Cursor,
    Envelope,
    Limit,
    Page,
    Parts,
    User,
    Wired,
    ok,
    owner_of,
    seen_by,
    submitted,
)
from services.gateway.openapi.document import described
from services.gateway.rows import Counts, Query, TaskRow
from services.process import tracing

MOST_WAIT_S = 60.0
MOST_OFFSET = 10_000
"""Tasks that one request may leave out: each is passed by, unlike those before a `cursor`."""

Wait = Annotated[
    float | None,
    QueryParameter(
        ge=0,
        le=MOST_WAIT_S,
        description="Answer when the task is over, or after so many seconds.",
    ),
]
Offset = Annotated[
    int,
    QueryParameter(
        ge=0, le=MOST_OFFSET, description="Leave out so many; to go on further, use `cursor`."
    ),
]


class Cancelled(msgspec.Struct, frozen=True):
    """A cancellation was asked for; the task is over when its status says so."""

    task: str
    seq: int


class Why(msgspec.Struct, frozen=True):
    """A decision of the router. `metamcp audit` recomputes it from the log."""

    seq: int
    """Of its `task.routed`."""
    at: float
    attempt: int
    route: Route


@post(
    "/api/tasks",
    opt=described(
        scope=scopes.TASKS_WRITE,
        body=TaskBody,
        errors=(404, 409, 503, 507),
        also={200: "The same task was sent before: this is it."},
    ),
)
async def create_task(
    body: RawBody, parts: Wired, principal: Asking, wait: Wait = None
) -> Response[Envelope[TaskView]]:
    """Create a task. 201, or 200 when the same task was sent before."""
    accepted, view = await submitted(parts, principal, parse_task(body), "api", wait or 0.0)
    view = seen_by(principal, view)
    status = 200 if accepted.duplicate else 201
    text = "this task was created before" if accepted.duplicate else "task created"
    return Response(ok(view, text), status_code=status)


@get("/api/tasks", dependencies=FILTERED, opt=described(scope=scopes.TASKS_READ, errors=(404, 409)))
async def list_tasks(
    parts: Wired,
    principal: Asking,
    filtered: Filtered,
    limit: Limit = 50,
    offset: Offset = 0,
    cursor: Cursor = None,
    mark: Mark = None,
) -> Page[TaskRow]:
    """List tasks, newest first: one's own, or with `project` those of all in it.

    Where no index can find what fits, a page may be short, or empty, and still have a
    `next_cursor`.
    """
    query = await filtered.of(parts, principal)
    return await page_of(parts, query._replace(limit=limit, offset=offset, cursor=cursor), mark)


async def page_of(parts: Parts, query: Query, mark: str | None = None) -> Page[TaskRow]:
    """A page of tasks; `mark` proves its cursor."""
    await proven(parts, query.cursor, mark)
    rows, more = await lists.list_tasks(parts.projection, query)
    return Page(True, rows, next_cursor=more, next_mark=await next_mark(parts, more))


@get(
    "/api/tasks/counts",
    dependencies=FILTERED,
    opt=described(scope=scopes.TASKS_READ, errors=(404,)),
)
async def count_tasks(parts: Wired, principal: Asking, filtered: Filtered) -> Envelope[Counts]:
    """Count the tasks that `GET /api/tasks` lists with these filters, by status.

    `more`: only the newest 100,000 were looked at.
    """
    return ok(await lists.count_tasks(parts.projection, await filtered.of(parts, principal)))


@get("/api/tasks/{task:str}", opt=described(scope=scopes.TASKS_READ, errors=(503,)))
async def get_task(
    task: FromPath[str], parts: Wired, principal: Asking, user: User = None
) -> Envelope[TaskView]:
    """Return one task with its result, as the log has it now."""
    view = await _existing(parts, await owner_of(parts, principal, user, task), task)
    return ok(seen_by(principal, await parts.waits.seen(view)))


@get("/api/tasks/{task:str}/events", opt=described(scope=scopes.TASKS_READ, errors=(503,)))
async def get_events(
    task: FromPath[str], parts: Wired, principal: Asking, user: User = None
) -> Envelope[list[Event]]:
    """Return the task's timeline: all its facts, in order."""
    records = await _facts(parts, await owner_of(parts, principal, user, task), task)
    plain = principal.may(scopes.RESULTS_READ)
    shown = (r.data if plain else domain.without_result(r.data) for r in records)
    return ok(
        [Event(r.seq, r.at, msgspec.Raw(data)) for r, data in zip(records, shown, strict=True)]
    )


@get("/api/tasks/{task:str}/why", opt=described(scope=scopes.TASKS_READ, errors=(503,)))
async def get_why(
    task: FromPath[str], parts: Wired, principal: Asking, user: User = None
) -> Envelope[list[Why]]:
    """Return why each attempt went to its host: what the router weighed, in order of attempts."""
    return ok(await why_of(parts, await owner_of(parts, principal, user, task), task))


async def why_of(parts: Parts, user: str, task: str) -> list[Why]:
    """The router's decisions about a task. Raises Rejected(NOT_FOUND)."""
    records = await _facts(parts, user, task)
    routed = [(r, r.fact) for r in records if isinstance(r.fact, TaskRouted)]
    return [Why(record.seq, record.at, fact.attempt, fact.route) for record, fact in routed]


@post(
    "/api/tasks/{task:str}/cancel",
    status_code=200,
    opt=described(scope=scopes.TASKS_WRITE, errors=(503,)),
)
async def cancel_task(task: FromPath[str], parts: Wired, principal: Asking) -> Envelope[Cancelled]:
    """Ask to end a task. 404 if it does not exist or is over."""
    trace = tracing.current()
    seq = await parts.desk.cancel(principal.user, task, trace)
    return ok(Cancelled(task, seq), "cancellation requested")


async def _existing(parts: Parts, user: str, task: str) -> TaskView:
    view = await parts.desk.view(user, task)
    if view is None:
        raise no_task(task)
    return view


async def _facts(parts: Parts, user: str, task: str) -> list[Record]:
    records = await parts.desk.facts(user, task)
    if not records:
        raise no_task(task)
    return records


ROUTES = (create_task, list_tasks, count_tasks, get_task, get_events, get_why, cancel_task)
