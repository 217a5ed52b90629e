"""Routes of results: lists, descriptions, the bytes themselves, deletion. Others' results: 404."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.ids import check_token
from contracts.result import (
    READ_BYTES,
    DatasetTasks,
    DatasetTasksRequest,
    Inline,
    Kept,
    ResultDelete,
    ResultFound,
    ResultListRequest,
    ResultPage,
    ResultRead,
    ResultRequest,
    ResultVerified,
)
from contracts.status import TaskView
from services.gateway.domain import no_task
from services.gateway.http import ranges
from services.gateway.http.paging import Mark, next_mark, proven
from services.gateway.http.parts import (
    Asking,
    Cursor,
    Envelope,
    Limit,
    Parts,
    User,
    Wired,
    ok,
    owner_of,
    whose,
)
from services.gateway.http.ranges import ByteRange
from services.gateway.openapi.document import described

FIRST_S = 120.0
"""How long the first bytes may take: a result may have to come from Hugging Face."""
PART_S = 30.0
AHEAD = 3
"""Parts that are asked for before a client has taken them."""

Kind = Annotated[
    Literal["inline", "object_store", "dataset"] | None,
    QueryParameter(description="In the log, in the object store, or in a Hugging Face Dataset."),
]
When = Annotated[
    str | None, QueryParameter(description="RFC 3339, or seconds since the epoch.", max_length=40)
]
OfHost = Annotated[
    str | None, QueryParameter(max_length=129, description="Only what this host has made.")
]
Deleted = Annotated[
    bool | None, QueryParameter(description="Only those that are gone, or only those that are not.")
]
Why = Annotated[
    str, QueryParameter(min_length=1, max_length=200, description="Why; it stands in the log.")
]
ListedTasks = Annotated[int, QueryParameter(ge=1, le=100, description="At most so many.")]
Offset = Annotated[int, QueryParameter(ge=0, le=10_000, description="Leave out so many.")]
Ended = Annotated[
    str | None, QueryParameter(max_length=40, description="Only tasks that ended so.")
]


class ResultList(msgspec.Struct, frozen=True):
    """A page of results."""

    success: bool
    data: tuple[Kept, ...]
    message: str = ""
    next_cursor: int | None = None
    next_mark: str | None = None
    """As of `GET /api/tasks`."""
    total: int = 0
    """How many there are on all pages."""
    size: int = 0
    """Bytes of all of them."""


@get("/api/results", opt=described(scope=scopes.RESULTS_READ, errors=(404, 409, 503)))
async def list_results(
    parts: Wired,
    principal: Asking,
    limit: Limit = 50,
    cursor: Cursor = None,
    kind: Kind = None,
    host: OfHost = None,
    since: When = None,
    until: When = None,
    deleted: Deleted = None,
    user: User = None,
    mark: Mark = None,
) -> ResultList:
    """List results, newest first, with how many match and their bytes."""
    request = ResultListRequest(
        user=whose(principal, user),
        limit=limit,
        cursor=cursor,
        kind=kind,
        host=host,
        since=_seconds(since, "since"),
        until=_seconds(until, "until"),
        deleted=deleted,
    )
    await proven(parts, cursor, mark)
    page = await parts.others.ask("results", "list", request, ResultPage)
    following = await next_mark(parts, page.cursor)
    return ResultList(True, page.results, "", page.cursor, following, page.total, page.size)


@get("/api/results/{task:str}", opt=described(scope=scopes.RESULTS_READ, errors=(503,)))
async def get_description(
    task: FromPath[str], parts: Wired, principal: Asking, user: User = None
) -> Envelope[Kept]:
    """Describe one result."""
    owner = await owner_of(parts, principal, user, task)
    return ok(await _kept(parts, await _wanted(parts, owner, task)))


@get(
    ["/api/results/{task:str}/content", "/api/tasks/{task:str}/result"],
    opt={"no_compression": True}
    | described(
        scope=scopes.RESULTS_READ,
        errors=(416, 502, 503),
        also={206: "The part that was asked for."},
        bare={304: "You have it already."},
        headers={
            "Range": "One part, such as `bytes=0-99`.",
            "If-Range": "Only if this is still the `ETag`; else the whole is answered.",
            "If-None-Match": "Answer 304 if this is the `ETag`.",
        },
    ),
)
async def get_content(
    request: Request[Any, Any, Any],
    task: FromPath[str],
    parts: Wired,
    principal: Asking,
    user: User = None,
) -> Response[bytes] | Stream:
    """Download a result: the whole, or the part that `Range` names. The bytes are verified."""
    owner = await owner_of(parts, principal, user, task)
    found = await _found(parts, owner, task)
    kept = found.result
    tag = f'"{kept.sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": "attachment",
        "ETag": tag,
        "X-Content-Sha256": kept.sha256,
    }
    if ranges.names(request.headers.get("if-none-match"), tag):
        return Response(b"", status_code=304, headers=headers)
    condition = request.headers.get("if-range")
    matches = condition is None or condition == tag
    try:
        span = ranges.asked_for(request.headers.get("range"), kept.size, matches=matches)
    except ranges.Unsatisfiable:
        headers["Content-Range"] = f"bytes */{kept.size}"
        del headers["Content-Disposition"]
        text = f"the result has {kept.size} bytes: there are none of that range"
        raise HTTPException(text, status_code=416, headers=headers) from None
    status = 200 if span is None else 206
    chosen = span or ByteRange(0, kept.size)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{kept.size}"
    headers["Content-Length"] = str(chosen.stop - chosen.start)
    if kept.kind == "inline":
        return Response(
            bytes(found.value)[chosen.start : chosen.stop],
            media_type=kept.media_type,
            headers=headers,
            status_code=status,
        )
    # What is wrong with a result shows in its first part, and still gets an error of its own.
    wanted = ResultRequest(owner, task, kept.seq)
    first = await _part(parts, wanted, chosen, chosen.start, FIRST_S)
    content = _content(parts, wanted, chosen, first)
    return Stream(content, media_type=kept.media_type, headers=headers, status_code=status)


@post(
    "/api/results/{task:str}/verify",
    status_code=200,
    opt=described(scope=scopes.RESULTS_READ, errors=(502, 503)),
)
async def verify_result(
    task: FromPath[str], parts: Wired, principal: Asking
) -> Envelope[ResultVerified]:
    """Read all bytes of a result and compare them with its digest."""
    request = await _wanted(parts, principal.user, task)
    found = await parts.others.ask("results", "verify", request, ResultVerified, within_s=FIRST_S)
    return ok(found, "the bytes are those that were stored")


@delete(
    "/api/results/{task:str}",
    status_code=200,
    opt=described(scope=scopes.TASKS_WRITE, errors=(503,)),
)
async def delete_result(
    task: FromPath[str],
    parts: Wired,
    principal: Asking,
    reason: Why = "deleted by its owner",
) -> Envelope[Kept]:
    """Delete a result. Bytes in the log itself stay there, and are shown to nobody any more."""
    wanted = await _wanted(parts, principal.user, task)
    request = ResultDelete(wanted.user, wanted.task, reason, wanted.after)
    return ok(
        await parts.others.ask("results", "delete", request, Kept, within_s=PART_S), "deleted"
    )


@get(
    "/api/accounts/huggingface/tasks",
    opt=described(scope=scopes.TASKS_READ, errors=(403, 404, 503)),
)
async def list_dataset_tasks(
    parts: Wired,
    principal: Asking,
    limit: ListedTasks = 50,
    offset: Offset = 0,
    status: Ended = None,
) -> Envelope[DatasetTasks]:
    """List tasks as the user's own Dataset has them."""
    request = DatasetTasksRequest(principal.user, limit, offset, status)
    found = await parts.others.ask("results", "tasks", request, DatasetTasks, within_s=FIRST_S)
    return ok(found)


async def _kept(parts: Parts, request: ResultRequest) -> Kept:
    return (await parts.others.ask("results", "get", request, ResultFound)).result


async def _wanted(parts: Parts, user: str, task: str) -> ResultRequest:
    """The request for a result; one that ended just now may be news to the results service."""
    view = await parts.desk.view(user, check_token(task, "task"))
    return _request(user, task, view)


def _request(user: str, task: str, view: TaskView | None) -> ResultRequest:
    return ResultRequest(user, task, view.seq if view and view.result else 0)


async def _found(parts: Parts, user: str, task: str) -> ResultFound:
    """The result whose bytes are wanted. Small ones stand in the task's own facts."""
    view = await parts.desk.view(user, check_token(task, "task"))
    if view is None:
        raise no_task(task)
    if not view.over:
        text = f"task {task} is {view.status}: there is no result yet"
        raise Rejected(Reason.NOT_FOUND, text)
    if isinstance(result := view.result, Inline):
        described = Kept(
            task=task,
            user=user,
            kind="inline",
            media_type=result.media_type,
            size=result.size,
            sha256=result.sha256,
            uri="",
            created=view.done_at or 0.0,
            seq=0,
            host=view.host,
            attempt=view.attempt,
        )
        return ResultFound(described, result.value)
    try:
        kept = await _kept(parts, _request(user, task, view))
    except Rejected as refusal:
        if refusal.reason is not Reason.NOT_FOUND:
            raise
        if view.result is not None:
            text = f"the result of task {task} is not known to the results service yet: try again"
            raise Rejected(Reason.UNAVAILABLE, text) from None
        raise Rejected(Reason.NOT_FOUND, f"task {task} has no result") from None
    if kept.deleted:
        raise Rejected(Reason.NOT_FOUND, f"the result of task {task} is gone: {kept.deleted}")
    return ResultFound(kept)


async def part_of(
    parts: Parts, user: str, task: str, offset: int, length: int
) -> tuple[Kept, bytes]:
    """A result, and at most `length` of its bytes, no more than READ_BYTES; none behind its end.

    Raises Rejected.
    """
    found = await _found(parts, user, task)
    kept = found.result
    span = ByteRange(offset, max(offset, min(kept.size, offset + length)))
    if kept.kind == "inline":
        return kept, bytes(found.value)[span.start : span.stop]
    return kept, await _part(parts, ResultRequest(user, task, kept.seq), span, offset, FIRST_S)


async def _content(
    parts: Parts, wanted: ResultRequest, span: ByteRange, first: bytes
) -> AsyncIterator[bytes]:
    """The bytes in order, a few parts ahead of the client. An error cuts the connection."""
    waiting: deque[asyncio.Task[bytes]] = deque()
    at = span.start + len(first)
    try:
        yield first
        while waiting or at < span.stop:
            while len(waiting) < AHEAD and at < span.stop:
                part = _part(parts, wanted, span, at, PART_S)
                waiting.append(asyncio.create_task(part))
                at += READ_BYTES
            yield await waiting.popleft()
    finally:
        for task_ in waiting:
            task_.cancel()


async def _part(
    parts: Parts, wanted: ResultRequest, span: ByteRange, at: int, within_s: float
) -> bytes:
    length = min(READ_BYTES, span.stop - at)
    if length <= 0:
        return b""
    request = ResultRead(wanted.user, wanted.task, at, length, wanted.after)
    data = await parts.others.raw("results", "read", request, within_s=within_s)
    if len(data) != length:
        raise Rejected(
            Reason.UNAVAILABLE, f"the result of task {wanted.task} was cut short: try again"
        )
    return data


def _seconds(text: str | None, name: str) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        message = f"{name}: expected RFC 3339 or seconds since the epoch, not {text!r}"
        raise Rejected(Reason.BAD_REQUEST, message) from None


ROUTES = (
    *(list_results, get_description, get_content, verify_result, delete_result),
    list_dataset_tasks,
)
