"""Routes under `/api/mcps`: hosts, what may be changed about them, and their logs.

Hosts of other users do not exist here: 404.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import QueryParameter, RawBody

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.host import Stdio, for_users
from contracts.ids import check_host
from contracts.nesting import too_deep
from contracts.permitted import without_hidden
from contracts.task import serves
from contracts.wire import (
    Discovered,
    DiscoverRequest,
    HostChanged,
    HostLog,
    HostRemoval,
    HostSwitch,
    HostWrite,
    Probed,
    ProbeRequest,
)
from services.gateway import domain, visibility
from services.gateway.access.identity import Principal
from services.gateway.http.parts import (
    Asking,
    Envelope,
    HostId,
    Parts,
    Wired,
    hosts_of,
    of_host,
    ok,
)
from services.gateway.openapi.document import described
from services.gateway.openapi.types import HostEntry, NewHost
from services.gateway.rows import HostView
from services.gateway.stream.waits import TABLES_WAIT_S

MOST_LINES = 1000
PROBE_S = 105.0
DISCOVER_S = 60.0

Lines = Annotated[
    int, QueryParameter(ge=1, le=MOST_LINES, description="At most so many lines, the newest.")
]
TaskType = Annotated[
    str | None, QueryParameter(description="Only hosts that serve this task type.")
]


class Removed(msgspec.Struct, frozen=True):
    """A host is gone."""

    host: str
    seq: int


class Checked(msgspec.Struct, frozen=True):
    """What registering a host would do."""

    host: str
    """The id it would have."""
    new: bool
    """False: it is there with this content."""


@get("/api/mcps", opt=described(scope=scopes.HOSTS_READ))
async def list_hosts(
    parts: Wired, principal: Asking, task_type: TaskType = None
) -> Envelope[list[HostView]]:
    """List the hosts this user may use, with health, tools and task types."""
    await parts.caught_up()
    rows = await hosts_of(parts, principal)
    return ok([row for row in rows if task_type is None or serves(row, task_type)])


@get(of_host("/api/mcps/{}"), opt=described(scope=scopes.HOSTS_READ))
async def get_host(host_id: HostId, parts: Wired, principal: Asking) -> Envelope[HostView]:
    """Return one host."""
    await parts.caught_up()
    return ok(await existing(parts, principal, host_id))


@post(
    of_host("/api/mcps/{}"),
    opt=described(
        scope=scopes.HOSTS_WRITE,
        body=HostEntry,
        errors=(403, 409, 503, 507),
        also={200: "It was there with this content."},
    ),
)
async def add_host(
    host_id: HostId, body: RawBody, parts: Wired, principal: Asking
) -> Response[Envelope[HostView]]:
    """Register a host. 201; 200 if it is there with this content, 409 with another."""
    return await _added(parts, principal, host_id, body)


@post(
    "/api/mcps",
    opt=described(
        scope=scopes.HOSTS_WRITE,
        body=NewHost,
        errors=(403, 409, 503, 507),
        also={200: "It was there with this content."},
    ),
)
async def register_host(
    body: RawBody, parts: Wired, principal: Asking
) -> Response[Envelope[HostView]]:
    """Register a host whose id stands in the body. 201; 200 or 409 if it is there."""
    entry = _object(body)
    name = entry.pop("id", None)
    if not isinstance(name, str):
        raise Rejected(Reason.BAD_REQUEST, "expected the host's id - at `$.id`")
    return await _added(parts, principal, check_host(name), msgspec.json.encode(entry))


@post(
    of_host("/api/mcps/{}/check"),
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, body=HostEntry, errors=(403, 409, 503, 507)),
)
async def check_host_entry(
    host_id: HostId, body: RawBody, parts: Wired, principal: Asking
) -> Envelope[Checked]:
    """Say whether a host could be registered so; nothing is. What it is refused for is answered."""
    found = await written(parts, principal, host_id, body, "check")
    return ok(Checked(found.host, found.changed))


@put(
    of_host("/api/mcps/{}"),
    opt=described(scope=scopes.HOSTS_WRITE, body=HostEntry, errors=(403, 409, 503, 507)),
)
async def update_host(
    host_id: HostId, body: RawBody, parts: Wired, principal: Asking
) -> Envelope[HostView]:
    """Replace a host that is there."""
    changed = await written(parts, principal, host_id, body, "update")
    view = await _shown(parts, principal, changed)
    return ok(view, "updated" if changed.changed else "it was so")


@delete(
    of_host("/api/mcps/{}"),
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, errors=(403, 409, 503)),
)
async def remove_host(host_id: HostId, parts: Wired, principal: Asking) -> Envelope[Removed]:
    """Take a host away; what runs there fails over or ends."""
    request = HostRemoval(principal.user, principal.operator, host_id)
    changed = await parts.others.ask("registry", "remove", request, HostChanged)
    await reached(parts, changed)
    return ok(Removed(changed.host, changed.seq), "removed")


@post(
    of_host("/api/mcps/{}/enable"),
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, errors=(403, 409, 503)),
)
async def enable_host(host_id: HostId, parts: Wired, principal: Asking) -> Envelope[HostView]:
    """Give the host work and probes."""
    return await _switch(parts, principal, host_id, enabled=True)


@post(
    of_host("/api/mcps/{}/disable"),
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, errors=(403, 409, 503)),
)
async def disable_host(host_id: HostId, parts: Wired, principal: Asking) -> Envelope[HostView]:
    """Give the host no more work and no probes."""
    return await _switch(parts, principal, host_id, enabled=False)


@post(
    of_host("/api/mcps/{}/probe"),
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, errors=(503,)),
)
async def probe_host(host_id: HostId, parts: Wired, principal: Asking) -> Envelope[Probed]:
    """Probe the host now and tell how it is; this takes as long as the host's start may."""
    await parts.caught_up()
    found = await _found(parts, principal, host_id)
    # For whom one of the operator's is, is known here alone.
    known = found is not None and found.owner in (None, principal.user)
    user = None if principal.operator or known else principal.user
    request = ProbeRequest(found.id if found else host_id, user)
    probed = await parts.others.ask("registry", "probe", request, Probed, within_s=PROBE_S)
    if not visibility.sees_all_of_hosts(principal.powers):
        seen = for_users(without_hidden(probed.host, parts.asker(principal)))
        probed = msgspec.structs.replace(probed, host=seen)
    return ok(probed)


@post(
    "/api/mcps/discover",
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, errors=(403, 404, 503)),
)
async def discover(parts: Wired, principal: Asking) -> Envelope[Discovered]:
    """Look at one's own Spaces now: those that are MCP servers become hosts."""
    request = DiscoverRequest(principal.user)
    found = await parts.others.ask("registry", "discover", request, Discovered, within_s=DISCOVER_S)
    return ok(found)


@get(of_host("/api/mcps/{}/log"), opt=described(scope=scopes.ADMIN, errors=(503,)))
async def get_host_log(
    host_id: HostId,
    parts: Wired,
    principal: Asking,
    lines: Lines = 200,
) -> Envelope[list[HostLog]]:
    """Return what a host has written on stderr, newest last: one log for each executor."""
    if not principal.operator:
        # One process of a host works for all users, and so does its log.
        raise Rejected(Reason.NOT_FOUND, "logs of hosts are there for the role `admin` only")
    host = await _found(parts, principal, host_id)
    found = await parts.host_logs.of(host.id if host else host_id, lines)
    if not found:
        raise _no_log(host, host_id)
    return ok(found)


async def _added(
    parts: Parts, principal: Principal, host: str, body: bytes
) -> Response[Envelope[HostView]]:
    changed = await written(parts, principal, host, body, "add")
    text = "registered" if changed.changed else "it was there"
    view = await _shown(parts, principal, changed)
    return Response(ok(view, text), status_code=201 if changed.changed else 200)


async def written(
    parts: Parts, principal: Principal, host: str, body: bytes, verb: str
) -> HostChanged:
    """Have the registry `add`, `update` or `check` a host. Raises what that refuses."""
    _object(body)
    admission = parts.desk.admission
    admission.reserve.check(operator=principal.operator)
    request = HostWrite(
        principal.user,
        principal.operator,
        host,
        msgspec.Raw(body),
        admission.budget_of(principal.user).hosts,
    )
    return await parts.others.ask("registry", verb, request, HostChanged)


def _object(body: bytes) -> dict[str, Any]:
    """Read a body that must be a JSON object. Raises Rejected."""
    if too_deep(body):
        raise Rejected(Reason.BAD_REQUEST, "the host's description is nested too deep")
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except domain.UNREADABLE as error:
        raise Rejected(Reason.BAD_REQUEST, f"expected a JSON object: {error}") from None


async def _switch(
    parts: Parts, principal: Principal, host: str, *, enabled: bool
) -> Envelope[HostView]:
    request = HostSwitch(principal.user, principal.operator, host, enabled)
    changed = await parts.others.ask("registry", "switch", request, HostChanged)
    view = await _shown(parts, principal, changed)
    word = "enabled" if enabled else "disabled"
    return ok(view, word if changed.changed else f"it was {word}")


async def _shown(parts: Parts, principal: Principal, changed: HostChanged) -> HostView:
    await reached(parts, changed)
    return await existing(parts, principal, changed.host)


async def reached(parts: Parts, changed: HostChanged) -> None:
    """Who has changed something must see it at once."""
    await parts.projection.reached(changed.seq, TABLES_WAIT_S)


async def existing(parts: Parts, principal: Principal, name: str) -> HostView:
    """The host that is meant, as this user sees it. Raises Rejected(NOT_FOUND)."""
    found = await _found(parts, principal, name)
    if found is None:
        raise domain.no_host(name)
    return found


async def _found(parts: Parts, principal: Principal, name: str) -> HostView | None:
    """The host that is meant: a bare name is the operator's host, and else one's own."""
    rows = {row.id: row for row in await hosts_of(parts, principal)}
    return rows.get(name) or rows.get(f"{principal.user}/{name}")


def _no_log(host: HostView | None, name: str) -> Rejected:
    if host is None:
        return domain.no_host(name)
    if isinstance(host.endpoint, Stdio):
        why = f"host {host.id} has no log yet: no executor has started it"
    else:
        why = f"host {host.id} is no program that executors start, so there is no log of it"
    return Rejected(Reason.NOT_FOUND, why)


ROUTES = (
    *(list_hosts, get_host, register_host, add_host, check_host_entry, update_host, remove_host),
    *(enable_host, disable_host, probe_host, discover, get_host_log),
)
