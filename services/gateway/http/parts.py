"""What the HTTP routes share: what they work with, who is asking, the envelope of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from litestar import Request
from litestar.di import NamedDependency

from contracts.errors import Reason, Rejected
from contracts.ids import check_token
from contracts.status import TaskView
from contracts.task import TaskRequest
from contracts.wire import Accepted
from services.gateway.access.identity import Principal
from services.gateway.access.tickets import Tickets
from services.gateway.access.tokens import Tokens
from services.gateway.actor import Desk
from services.gateway.domain import AUDITOR
from services.gateway.peers.asked import Others
from services.gateway.peers.checks import Checks, Executors
from services.gateway.peers.host_logs import HostLogs
from services.gateway.settings import Settings
from services.gateway.stream.feed import Feed
from services.log.port import Log
from services.log.projection import Projection
from services.process import tracing
from services.process.ids import new_id

T = TypeVar("T")


class Envelope(msgspec.Struct, Generic[T], frozen=True):
    """Every successful JSON answer."""

    success: bool
    data: T
    message: str = ""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A successful answer that is part of a list."""

    success: bool
    data: list[T]
    message: str = ""
    next_cursor: int | None = None
    """Ask with `?cursor=` this value for what follows; none: this was the last page."""


class Parts(NamedTuple):
    """What the routes work with; one per process."""

    log: Log
    desk: Desk
    feed: Feed
    projection: Projection
    settings: Settings
    tickets: Tickets
    tokens: Tokens
    host_logs: HostLogs
    others: Others
    checks: Checks
    executors: Executors


Wired = NamedDependency[Parts]
Asking = NamedDependency[Principal]


async def principal(request: Request[Any, Any, Any]) -> Principal:
    """Return who is asking. Raises Rejected(UNAUTHORIZED)."""
    found: Principal | None = request.scope["state"].get("principal")
    if found is None:
        raise Rejected(Reason.UNAUTHORIZED, unauthorized(request.scope["state"]))
    return found


def unauthorized(state: Mapping[str, Any]) -> str:
    """What to tell somebody who may not come in; `state` is that of the request."""
    if state.get("refused"):
        return "unknown or expired token"
    return "send `Authorization: Bearer <token>`; see docs"


async def submitted(
    parts: Parts, user: str, request: TaskRequest, source: str, wait_s: float
) -> tuple[Accepted, TaskView]:
    """Submit a task and return it once it is over, or as it is after `wait_s` seconds.

    Raises what `Desk.submit` raises; once the task is on disk, nothing.
    """
    task = request.id if request.id is not None else new_id()
    named = msgspec.structs.replace(request, id=task)
    waiter = parts.feed.wait_for_end(user, task)
    try:
        sent = await parts.desk.submit(user, named, source, tracing.current())
        view = await parts.desk.first_view(sent)
        if wait_s and not view.over:
            await asyncio.wait((waiter.future,), timeout=wait_s)
            view = await parts.desk.latest(sent)
    finally:
        parts.feed.forget(waiter)
    return sent.accepted, view


def whose(asking: Principal, user: str | None) -> str:
    """Return whose tasks are meant: one's own, or for auditors anybody's.

    Raises Rejected(NOT_FOUND) for everybody else, as if that user did not exist, and
    Rejected(BAD_ID) if an auditor names what can't be a user.
    """
    if user is None or user == asking.user:
        return asking.user
    if AUDITOR not in asking.roles:
        raise Rejected(Reason.NOT_FOUND, "there is no such task")
    return check_token(user, "user")


def ok(data: T, message: str = "") -> Envelope[T]:
    """Wrap a success."""
    return Envelope(True, data, message)
