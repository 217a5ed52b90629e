"""Routes under `/api/batches`: tasks that are sent together."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.status import Status
from contracts.tags import Tags
from services.gateway.bulk import lines, tables
from services.gateway.bulk.batches import Batches, named
from services.gateway.bulk.views import BatchAccepted, BatchView, LineRefused
from services.gateway.http.parts import (
    Asking,
    Cursor,
    Envelope,
    Limit,
    Page,
    User,
    Wired,
    ok,
    whose,
)
from services.gateway.openapi.document import described

EXAMPLES = (
    BatchAccepted(
        "nightly-7",
        2,
        0,
        1,
        [LineRefused(3, "bad_request", "not a task: Object missing required field `type`")],
    ),
    BatchView(
        id="nightly-7",
        total=2,
        by_status={Status.SUCCEEDED: 1, Status.RUNNING: 1},
        created_at=1_796_000_000.0,
        created_seq=17,
        ended_at=None,
    ),
)

BatchId = Annotated[
    str | None,
    QueryParameter(
        description="Its id, at most 58 characters; sent again under it, it is the same batch."
    ),
]
OfProject = Annotated[
    str | None, QueryParameter(description="The project of each task that names none.")
]
Tag = Annotated[
    list[str] | None,
    QueryParameter(description="A tag `key=value` of every task.", max_items=16),
]


@post(
    "/api/batches",
    request_max_body_size=lines.MOST_BODY,
    opt=described(
        scope=scopes.TASKS_WRITE,
        body=bytes,
        errors=(404, 503, 507),
        also={200: "There was nothing new in it."},
    ),
)
async def create_batch(
    request: Request[Any, Any, Any],
    parts: Wired,
    principal: Asking,
    batches: NamedDependency[Batches],
    id: BatchId = None,
    project: OfProject = None,
    tag: Tag = None,
) -> Response[Envelope[BatchAccepted]]:
    """Create up to 10,000 tasks, one on each line (`application/x-ndjson`), or all of them in one
    object `{"tasks": [...]}` (`application/json`).

    Each is accepted or refused by itself; what is accepted stays, also if the body breaks off. The
    tasks' ids are those of the batch and the line: sent again, nothing is created twice. 201 if
    something was.
    """
    batch = named(id, project, _tags(tag or ()))
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    read = lines.of_object if given == "application/json" else lines.of_stream
    if id is not None:
        # What of it there is already is told from the tables.
        await parts.holds_what_was_told(principal.user)
    found = await batches.take(principal, batch, read(request.stream()))
    text = f"{found.accepted} tasks created"
    text += f", {found.refused_count} refused" if found.refused_count else ""
    return Response(ok(found, text), status_code=201 if found.accepted else 200)


@get("/api/batches", opt=described(scope=scopes.TASKS_READ, errors=(404,)))
async def list_batches(
    parts: Wired, principal: Asking, limit: Limit = 50, cursor: Cursor = None, user: User = None
) -> Page[BatchView]:
    """List one's batches, newest first, with how their tasks are."""
    owner = whose(principal, user)
    await parts.holds_what_was_told(owner)
    found = await tables.batches(parts.projection, owner, limit + 1, cursor)
    more = found[limit - 1].created_seq if len(found) > limit else None
    return Page(True, found[:limit], next_cursor=more)


@get("/api/batches/{batch:str}", opt=described(scope=scopes.TASKS_READ))
async def get_batch(
    batch: FromPath[str], parts: Wired, principal: Asking, user: User = None
) -> Envelope[BatchView]:
    """Return how many tasks of a batch there are of each status, and when the last one ended."""
    owner = whose(principal, user)
    await parts.caught_up()
    await parts.holds_what_was_told(owner)
    found = await tables.batch(parts.projection, owner, batch)
    if found is None:
        raise Rejected(Reason.NOT_FOUND, f"there is no batch {batch[:80]}")
    return ok(found)


def _tags(given: list[str] | tuple[()]) -> dict[str, str]:
    """The tags of all tasks. Raises Rejected(BAD_REQUEST)."""
    tags = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals:
            raise Rejected(Reason.BAD_REQUEST, f"tag {one[:80]!r} is not `key=value`")
        tags[key] = value
    try:
        return msgspec.convert(tags, Tags)
    except msgspec.ValidationError as error:
        raise Rejected(Reason.BAD_REQUEST, f"tag: {error}") from None


ROUTES = (create_batch, list_batches, get_batch)
