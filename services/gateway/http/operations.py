"""Routes under `/api/operations`: one wish about many tasks."""

from __future__ import annotations

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RawBody

from contracts import scopes
from contracts.operation import Action, StepFailure
from services.gateway.bulk import tables
from services.gateway.bulk.choice import NewOperation, OperationFilter, check, chosen
from services.gateway.bulk.operations import Operations, no_operation
from services.gateway.bulk.views import OperationView
from services.gateway.http.filters import moment
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
    read,
    whose,
)
from services.gateway.openapi.document import described
from services.gateway.rows import Query


class OperationStopView(msgspec.Struct, frozen=True):
    """An operation was asked to stop: no further part of it is begun."""

    operation: str
    seq: int


EXAMPLES = (
    NewOperation(
        action=Action.CANCEL, filter=OperationFilter(type="code_analysis", tag=["ref=main"])
    ),
    OperationView(
        id="tidy-7",
        user="alice",
        action=Action.CANCEL,
        state="running",
        total=1200,
        done=499,
        failed=1,
        created_seq=17,
        created_at=1_796_000_000.0,
        updated_at=1_796_000_001.0,
        failures=(StepFailure("t-7", "already_over", "task t-7 is over: succeeded"),),
    ),
    OperationStopView("tidy-7", 42),
)


@post(
    "/api/operations",
    status_code=202,
    opt=described(
        scope=scopes.TASKS_WRITE,
        body=NewOperation,
        errors=(404, 409, 503, 507),
        also={200: "It was accepted before: this is it."},
    ),
)
async def create_operation(
    body: RawBody,
    parts: Wired,
    principal: Asking,
    operations: NamedDependency[Operations],
) -> Response[Envelope[OperationView]]:
    """Cancel, run again or tag up to 10,000 of one's tasks: those that are named, or those that a
    filter chooses now. 202: it goes on by itself, also after a restart."""
    wanted = read(body, NewOperation)
    check(wanted)
    await parts.caught_up()
    await parts.holds_what_was_told(principal.user)
    query = query_of(principal.user, wanted.filter or OperationFilter())
    tasks = await chosen(parts.projection, wanted, query)
    started = await operations.start(principal, wanted, tasks)
    await parts.holds_what_was_told(principal.user)
    view = await _existing(parts, principal.user, started.operation)
    text = "it was accepted before" if started.duplicate else "accepted"
    return Response(ok(view, text), status_code=200 if started.duplicate else 202)


@get("/api/operations", opt=described(scope=scopes.TASKS_READ, errors=(404,)))
async def list_operations(
    parts: Wired, principal: Asking, limit: Limit = 50, cursor: Cursor = None, user: User = None
) -> Page[OperationView]:
    """List one's operations, newest first, without what failed."""
    owner = whose(principal, user)
    await parts.holds_what_was_told(owner)
    found = await tables.operations(parts.projection, owner, limit + 1, cursor)
    more = found[limit - 1].created_seq if len(found) > limit else None
    return Page(True, found[:limit], next_cursor=more)


@get("/api/operations/{operation:str}", opt=described(scope=scopes.TASKS_READ))
async def get_operation(
    operation: FromPath[str], parts: Wired, principal: Asking, user: User = None
) -> Envelope[OperationView]:
    """Return how far an operation has got, and the first of what failed."""
    owner = whose(principal, user)
    await parts.caught_up()
    await parts.holds_what_was_told(owner)
    return ok(await _existing(parts, owner, operation))


@post(
    "/api/operations/{operation:str}/stop",
    status_code=200,
    opt=described(scope=scopes.TASKS_WRITE, errors=(503,)),
)
async def stop_operation(
    operation: FromPath[str],
    parts: Wired,
    principal: Asking,
    operations: NamedDependency[Operations],
) -> Envelope[OperationStopView]:
    """Leave undone what is not done yet. 404 if there is no such operation, or it is over."""
    await parts.caught_up()
    await parts.holds_what_was_told(principal.user)
    seq = await operations.stop(principal.user, operation)
    return ok(OperationStopView(operation, seq), "it stops after the part that is under way")


def query_of(user: str, given: OperationFilter) -> Query:
    """What a filter asks of the tables. Pure. Raises Rejected(BAD_REQUEST)."""

    def at(name: str) -> float | None:
        told = getattr(given, name)
        return None if told is None else moment(str(told), name)

    return Query(
        user,
        status=tuple(dict.fromkeys(given.status)),
        type=given.type,
        project=given.project,
        over=given.over,
        host=given.host,
        tags=tuple(dict.fromkeys(given.tag)),
        batch=given.batch,
        text=given.text,
        created_after=at("created_after"),
        created_before=at("created_before"),
        ended_after=at("ended_after"),
        ended_before=at("ended_before"),
        longer_s=given.longer_s,
        shorter_s=given.shorter_s,
    )


async def _existing(parts: Parts, user: str, operation: str) -> OperationView:
    found = await tables.operation(parts.projection, user, operation)
    if found is None:
        raise no_operation(operation)
    return found


ROUTES = (create_operation, list_operations, get_operation, stop_operation)
