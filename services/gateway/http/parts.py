"""What the HTTP routes share: what they work with, who is asking, the envelope of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
from litestar import Request
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from contracts.errors import Reason, Rejected
from contracts.ids import check_token
from contracts.status import TaskView
from contracts.task import TaskRequest
from contracts.wire import Accepted
from services.gateway import projection as tables
from services.gateway.access.identity import UNKNOWN, Principal
from services.gateway.access.tickets import Tickets
from services.gateway.access.tokens import Tokens
from services.gateway.actor import Desk
from services.gateway.domain import AUDITOR, UNREADABLE
from services.gateway.peers.asked import Others
from services.gateway.peers.checks import Checks, Executors
from services.gateway.peers.host_logs import HostLogs
from services.gateway.rows import HostView
from services.gateway.settings import Settings
from services.gateway.stream.feed import Feed
from services.log.port import Log
from services.log.projection import Projection
from services.process import tracing
from services.process.ids import new_id

TABLES_WAIT_S = 2.0
"""How long an answer waits for the tables that it is made from."""
MOST_LISTED = 500
MOST_SEQ = 2**63 - 1
"""SQLite's greatest whole number."""

T = TypeVar("T")
B = TypeVar("B", bound=msgspec.Struct)


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

    async def caught_up(self) -> None:
        """Wait, not for long, until the tables hold what the feed has handed out."""
        await self.projection.reached(self.feed.position, TABLES_WAIT_S)

    async def holds_what_was_told(self, user: str) -> None:
        """The same until they hold what this user has just submitted or said."""
        await self.projection.reached(self.desk.newest(user), TABLES_WAIT_S)


Wired = NamedDependency[Parts]
Asking = NamedDependency[Principal]
User = Annotated[str | None, QueryParameter(description="Another user; for auditors.")]
Limit = Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="At most so many.")]
Cursor = Annotated[
    int | None,
    QueryParameter(ge=0, le=MOST_SEQ, description="`next_cursor` of the page before."),
]


async def principal(request: Request[Any, Any, Any]) -> Principal:
    """Return who is asking. Raises Rejected(UNAUTHORIZED)."""
    found: Principal | None = request.scope["state"].get("principal")
    if found is None:
        raise Rejected(Reason.UNAUTHORIZED, unauthorized(request.scope["state"]))
    return found


def unauthorized(state: Mapping[str, Any]) -> str:
    """What to tell somebody who may not come in; `state` is that of the request."""
    if state.get("refused"):
        return UNKNOWN
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


def read(body: bytes, type_: type[B]) -> B:
    """Read a body. Raises Rejected(BAD_REQUEST) that names the place."""
    try:
        return msgspec.json.decode(body, type=type_)
    except UNREADABLE as error:
        raise Rejected(Reason.BAD_REQUEST, f"the body does not fit: {error}") from None


async def hosts_of(parts: Parts, principal: Principal) -> list[HostView]:
    """The hosts that somebody sees: those they may use, and for auditors all."""
    every = AUDITOR in principal.roles
    return await tables.list_hosts(parts.projection, principal.user, every=every)


def ok(data: T, message: str = "") -> Envelope[T]:
    """Wrap a success."""
    return Envelope(True, data, message)
