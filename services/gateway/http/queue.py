"""Routes about what waits and who works: `/api/queue` and `/api/workers`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get
from litestar.params import QueryParameter

from contracts import scopes
from contracts.errors import Rejected
from contracts.ids import check_user
from contracts.queue import MOST_PLACED, QueueAnswer, QueuedTask, QueueRequest, WaitCount
from contracts.queue import WaitReason as Reason_
from contracts.task import Priority
from services.gateway.access.identity import Principal
from services.gateway.http.parts import Asking, Envelope, Limit, Parts, User, Wired, ok, whose
from services.gateway.openapi.document import described
from services.gateway.visibility import sees_all_of_hosts

Behind = Annotated[
    int,
    QueryParameter(ge=0, le=MOST_PLACED, description="`next_cursor` of the page before."),
]


class QueueView(msgspec.Struct, frozen=True):
    """What waits for a host, as the active router has it in mind."""

    user: str | None
    """Whose tasks these are; none: those of all users."""
    waiting: int
    """Their tasks in the queue …"""
    every: int
    """… and those of all users."""
    in_flight: int
    """Attempts on their way to an executor, or running there, of all users."""
    slots: int | None
    """Slots of all executors; none: they don't say."""
    waits: tuple[WaitCount, ...]
    """What open tasks that don't run wait for, also outside of the queue."""
    tasks: tuple[QueuedTask, ...]
    """In the order in which they would be served now; `position` counts those of all users."""
    next_cursor: int | None
    """Ask with `?cursor=` this value for what follows; none: these were the last that have a
    position."""


class ExecutorView(msgspec.Struct, frozen=True):
    """An executor, as far as its heartbeats tell."""

    instance: str
    alive: bool
    """It was heard of in the last seconds."""
    busy: int
    slots: int
    silent_s: float
    """Seconds since its last heartbeat."""


class RouterView(msgspec.Struct, frozen=True):
    """A router that answers."""

    instance: str
    active: bool
    """It decides; the others stand by."""
    term: int
    """The newest it knows of: its own, if it is active."""
    position: int
    """Last sequence of the log it has applied."""


class WorkersView(msgspec.Struct, frozen=True):
    """Who decides, and who works."""

    executors: tuple[ExecutorView, ...]
    routers: tuple[RouterView, ...]


_WAITS = QueuedTask(
    *(3, "alice", "t-7", "mcp.call", Priority.NORMAL, 1_796_000_000.0),
    *(Reason_.HOST_BUSY, ("files",)),
)
EXAMPLES = (
    QueueView(
        *(None, 3, 3, 8, 8, (WaitCount(Reason_.HOST_BUSY, 3, ("files",)),)),
        *((_WAITS,), None),
    ),
    WorkersView(
        (ExecutorView("executor-1", alive=True, busy=4, slots=8, silent_s=0.4),),
        (RouterView("router-1", active=True, term=3, position=47),),
    ),
)


def seen_user(principal: Principal, user: str | None) -> str | None:
    """Whose tasks are meant; None: everybody's, for admins and auditors. Raises Rejected."""
    if sees_all_of_hosts(principal.powers):
        return user if user is None else check_user(user)
    return whose(principal, user)


@get("/api/queue", opt=described(scope=scopes.TASKS_READ, errors=(404, 503)))
async def show_queue(
    parts: Wired, principal: Asking, limit: Limit = 50, cursor: Behind = 0, user: User = None
) -> Envelope[QueueView]:
    """List what waits for a host, first what is served next: one's own; for admins and auditors
    everybody's, or those of `user`.

    Only the first 2,000 tasks of the whole queue have a position and are listed.
    """
    owner = seen_user(principal, user)
    # One more than is shown: it tells whether there is another page.
    found = await parts.queues.queue(QueueRequest(owner, cursor, limit + 1))
    return ok(_view(found, owner, limit))


def _view(found: QueueAnswer, owner: str | None, limit: int) -> QueueView:
    shown = found.tasks[:limit]
    more = shown[-1].position if len(found.tasks) > limit else None
    sums = (found.waiting, found.every, found.in_flight, found.slots)
    return QueueView(owner, *sums, found.waits, shown, more)


@get("/api/workers", opt=described(scope=scopes.TASKS_READ))
async def list_workers(parts: Wired, principal: Asking) -> Envelope[WorkersView]:
    """List executors with their slots and heartbeats, and routers with their terms."""
    routers, text = await _routers(parts)
    executors = tuple(
        ExecutorView(one.instance, one.alive, one.busy, one.slots, round(one.silent_s, 1))
        for one in parts.executors.every()
    )
    return ok(WorkersView(executors, routers), text)


async def _routers(parts: Parts) -> tuple[tuple[RouterView, ...], str]:
    try:
        found = await parts.queues.routers(QueueRequest("", 0, 0))
    except Rejected as refusal:
        return (), refusal.message
    return tuple(RouterView(one.instance, one.active, one.term, one.position) for one in found), ""


ROUTES = (show_queue, list_workers)
