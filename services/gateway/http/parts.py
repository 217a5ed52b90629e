"""What the HTTP routes share: what they work with, who is asking, the envelope of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
from litestar import Request
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.facts import TaskCreated
from contracts.host import for_users
from contracts.ids import check_host, check_user, is_user
from contracts.in_force import SettingsAnswer
from contracts.permitted import Asker, shown_to
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
from services.gateway.peers.queues import Queues
from services.gateway.people.access_log import AccessLog
from services.gateway.people.console_links import ConsoleLinks
from services.gateway.people.devices import Devices
from services.gateway.people.entrance import Entrance
from services.gateway.people.profiles import Profiles
from services.gateway.people.projects import Projects
from services.gateway.people.quotas import Quotas
from services.gateway.people.signins import SignedIn
from services.gateway.people.state import PeopleState
from services.gateway.people.trail import Trail
from services.gateway.people.users import Users
from services.gateway.rows import HostView
from services.gateway.settings import Settings
from services.gateway.stream.feed import Feed
from services.gateway.stream.waits import TABLES_WAIT_S, WaitTeller
from services.gateway.visibility import sees_all_of_hosts
from services.log.port import Log
from services.log.projection import Projection
from services.process import tracing
from services.process.ids import new_id

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
    next_mark: str | None = None
    """Give it back as `mark` with the cursor, where there is one: it proves that the log is the
    same."""


class Parts(NamedTuple):
    """What the routes work with; one per process."""

    log: Log
    desk: Desk
    feed: Feed
    waits: WaitTeller
    projection: Projection
    settings: Settings
    tickets: Tickets
    tokens: Tokens
    host_logs: HostLogs
    others: Others
    checks: Checks
    executors: Executors
    queues: Queues
    state: PeopleState
    """People and what is theirs."""
    trail: Trail
    access: AccessLog
    """What was noted, by all gateways."""
    quotas: Quotas
    users: Users
    signed_in: SignedIn
    entrance: Entrance
    projects: Projects
    profiles: Profiles
    devices: Devices
    console_links: ConsoleLinks
    in_force: SettingsAnswer
    """The settings of this process."""
    data: Path | None = None
    """The data folder, where there is one."""

    def asker(self, principal: Principal) -> Asker:
        """Somebody as hosts know them: which of them, and of their tools, are there for them."""
        return Asker(principal.user, principal.powers, self.projects.of(principal.user))

    async def caught_up(self) -> None:
        """Wait, not for long, until the tables hold what the feed has handed out.

        Raises ViewError, ViewUnfit when something is wrong with them.
        """
        await self.projection.shows(self.feed.position, TABLES_WAIT_S)

    async def holds_what_was_told(self, user: str) -> None:
        """The same until they hold what this user has just submitted or said."""
        await self.projection.shows(self.desk.newest(user), TABLES_WAIT_S)


Wired = NamedDependency[Parts]
HostId = NamedDependency[str]
Asking = NamedDependency[Principal]
User = Annotated[
    str | None, QueryParameter(description="Another user: for auditors, and in a project.")
]
Limit = Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="At most so many.")]
Cursor = Annotated[
    int | None,
    QueryParameter(ge=0, le=MOST_SEQ, description="`next_cursor` of the page before."),
]


async def principal(request: Request[Any, Any, Any]) -> Principal:
    """Return who is asking. Raises Rejected(UNAUTHORIZED)."""
    state = request.scope["state"]
    found: Principal | None = state.get("principal")
    if found is None and state.get("forged"):
        raise Rejected(Reason.FORBIDDEN, state["forged"])
    if found is None:
        raise Rejected(Reason.UNAUTHORIZED, unauthorized(request.scope["state"]))
    return found


def of_host(route: str) -> list[str]:
    """Both paths of a route about a host, in which `{}` stands for its id."""
    return [route.format("{host:str}"), route.format("{user:str}/{host:str}")]


async def host_id(request: Request[Any, Any, Any], principal: Asking) -> str:
    """Return the host's id as it stands in the path. Raises Rejected(UNAUTHORIZED, BAD_ID)."""
    parts = request.path_params
    name: str = parts["host"]
    return check_host(f"{parts['user']}/{name}" if "user" in parts else name)


def unauthorized(state: Mapping[str, Any]) -> str:
    """What to tell somebody who may not come in; `state` is that of the request."""
    if state.get("refused"):
        return UNKNOWN
    return "send `Authorization: Bearer <token>`; see docs"


async def submitted(
    parts: Parts, who: Principal, request: TaskRequest, source: str, wait_s: float
) -> tuple[Accepted, TaskView]:
    """Submit a task and return it once it is over, or as it is after `wait_s` seconds.

    Raises what `Desk.submit` raises; once the task is on disk, nothing.
    """
    user, task = who.user, request.id if request.id is not None else new_id()
    named = msgspec.structs.replace(request, id=task)
    waiter = parts.feed.wait_for_end(user, task)
    try:
        sent = await parts.desk.submit(who, named, source, tracing.current())
        view = await parts.desk.first_view(sent)
        if wait_s and not view.over:
            await asyncio.wait((waiter.future,), timeout=wait_s)
            view = await parts.waits.seen(await parts.desk.latest(sent))
    finally:
        parts.feed.forget(waiter)
    return sent.accepted, view


def seen_by(who: Principal, view: TaskView) -> TaskView:
    """A task as this token may see it: without its result, unless it is for results."""
    if view.result is None or who.may(scopes.RESULTS_READ):
        return view
    return msgspec.structs.replace(view, result=None)


def whose(asking: Principal, user: str | None) -> str:
    """Return whose tasks are meant: one's own, or for auditors anybody's.

    Raises Rejected(NOT_FOUND) for everybody else, as if that user did not exist,
    InsufficientScope for an auditor's token that is not for that, and Rejected(BAD_ID) if an
    auditor names what can't be a user.
    """
    if user is None or user == asking.user:
        return asking.user
    if AUDITOR not in asking.roles:
        raise Rejected(Reason.NOT_FOUND, "there is no such task")
    asking.needs(scopes.ADMIN)
    return check_user(user)


async def owner_of(parts: Parts, asking: Principal, user: str | None, task: str) -> str:
    """Return whose task is meant, and may be read: one's own, one of a project that one is in, or
    for auditors anybody's.

    Raises Rejected(NOT_FOUND) for everybody else, as if that task did not exist.
    """
    if user is None or user == asking.user or asking.auditor:
        return whose(asking, user)
    if is_user(user):
        records = await parts.desk.facts(user, task)
        project = next((r.fact.project for r in records if isinstance(r.fact, TaskCreated)), "")
        if project and parts.projects.may(project, asking.user, asking.powers, "see"):
            return user
    return whose(asking, user)


def read(body: bytes, type_: type[B]) -> B:
    """Read a body. Raises Rejected(BAD_REQUEST) that names the place."""
    try:
        return msgspec.json.decode(body, type=type_)
    except UNREADABLE as error:
        raise Rejected(Reason.BAD_REQUEST, f"the body does not fit: {error}") from None


async def hosts_of(parts: Parts, principal: Principal) -> list[HostView]:
    """The hosts that somebody sees: those they may use, and for auditors all."""
    every = principal.auditor
    found = await tables.list_hosts(parts.projection, principal.user, every=every)
    if sees_all_of_hosts(principal.powers):
        return found
    return hosts_for(found, parts.asker(principal))


def hosts_for(found: Iterable[HostView], who: Asker) -> list[HostView]:
    """Those of the hosts that are there for somebody, as users see them."""
    return [_as_users_see(seen) for host in found if (seen := shown_to(host, who)) is not None]


def _as_users_see(host: HostView) -> HostView:
    health = host.health
    if health.said:
        host = msgspec.structs.replace(host, health=msgspec.structs.replace(health, said=""))
    return for_users(host)


def ok(data: T, message: str = "") -> Envelope[T]:
    """Wrap a success."""
    return Envelope(True, data, message)
