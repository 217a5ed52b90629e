"""Routes under `/api/mcps`: hosts, what may be changed about them, and their logs.

Hosts of other users do not exist here: 404.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import FromPath, QueryParameter, RawBody

from contracts.errors import Reason, Rejected
from contracts.host import Stdio
from contracts.ids import check_token
from contracts.nesting import too_deep
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
from services.gateway import domain
from services.gateway import projection as tables
from services.gateway.access.identity import Principal
from services.gateway.domain import ADMIN
from services.gateway.http.parts import TABLES_WAIT_S, Asking, Envelope, Parts, Wired, hosts_of, ok
from services.gateway.openapi.document import described
from services.gateway.openapi.types import HostEntry, NewHost
from services.gateway.rows import HostView

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


@get("/api/mcps")
async def list_hosts(
    parts: Wired, principal: Asking, task_type: TaskType = None
) -> Envelope[list[HostView]]:
    """List the hosts this user may use, with health, tools and task types."""
    await parts.caught_up()
    rows = await hosts_of(parts, principal)
    return ok([row for row in rows if task_type is None or serves(row, task_type)])


@get("/api/mcps/{host:str}")
async def get_host(host: FromPath[str], parts: Wired, principal: Asking) -> Envelope[HostView]:
    """Return one host."""
    await parts.caught_up()
    return ok(await _existing(parts, principal, host))


@post(
    "/api/mcps/{host:str}",
    opt=described(
        body=HostEntry, errors=(403, 409, 503), also={200: "It was there with this content."}
    ),
)
async def add_host(
    host: FromPath[str], body: RawBody, parts: Wired, principal: Asking
) -> Response[Envelope[HostView]]:
    """Register a host. 201; 200 if it is there with this content, 409 with another."""
    return await _added(parts, principal, host, body)


@post(
    "/api/mcps",
    opt=described(
        body=NewHost, errors=(403, 409, 503), also={200: "It was there with this content."}
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
    return await _added(parts, principal, name, msgspec.json.encode(entry))


@put("/api/mcps/{host:str}", opt=described(body=HostEntry, errors=(403, 409, 503)))
async def update_host(
    host: FromPath[str], body: RawBody, parts: Wired, principal: Asking
) -> Envelope[HostView]:
    """Replace a host that is there."""
    changed = await _write(parts, principal, host, body, "update")
    view = await _shown(parts, principal, changed)
    return ok(view, "updated" if changed.changed else "it was so")


@delete("/api/mcps/{host:str}", status_code=200, opt=described(errors=(403, 409, 503)))
async def remove_host(host: FromPath[str], parts: Wired, principal: Asking) -> Envelope[Removed]:
    """Take a host away; what runs there fails over or ends."""
    request = HostRemoval(principal.user, ADMIN in principal.roles, check_token(host, "host"))
    changed = await parts.others.ask("registry", "remove", request, HostChanged)
    await _reached(parts, changed)
    return ok(Removed(changed.host, changed.seq), "removed")


@post("/api/mcps/{host:str}/enable", status_code=200, opt=described(errors=(403, 409, 503)))
async def enable_host(host: FromPath[str], parts: Wired, principal: Asking) -> Envelope[HostView]:
    """Give the host work and probes."""
    return await _switch(parts, principal, host, enabled=True)


@post("/api/mcps/{host:str}/disable", status_code=200, opt=described(errors=(403, 409, 503)))
async def disable_host(host: FromPath[str], parts: Wired, principal: Asking) -> Envelope[HostView]:
    """Give the host no more work and no probes."""
    return await _switch(parts, principal, host, enabled=False)


@post("/api/mcps/{host:str}/probe", status_code=200, opt=described(errors=(503,)))
async def probe_host(host: FromPath[str], parts: Wired, principal: Asking) -> Envelope[Probed]:
    """Probe the host now and tell how it is; this takes as long as the host's start may."""
    user = None if ADMIN in principal.roles else principal.user
    request = ProbeRequest(check_token(host, "host"), user)
    found = await parts.others.ask("registry", "probe", request, Probed, within_s=PROBE_S)
    return ok(found)


@post("/api/mcps/discover", status_code=200, opt=described(errors=(403, 404, 503)))
async def discover(parts: Wired, principal: Asking) -> Envelope[Discovered]:
    """Look at one's own Spaces now: those that are MCP servers become hosts."""
    request = DiscoverRequest(principal.user)
    found = await parts.others.ask("registry", "discover", request, Discovered, within_s=DISCOVER_S)
    return ok(found)


@get("/api/mcps/{host:str}/log", opt=described(errors=(503,)))
async def get_host_log(
    host: FromPath[str],
    parts: Wired,
    principal: Asking,
    lines: Lines = 200,
) -> Envelope[list[HostLog]]:
    """Return what a host has written on stderr, newest last: one log for each executor."""
    if ADMIN not in principal.roles:
        # One process of a host works for all users, and so does its log.
        raise Rejected(Reason.NOT_FOUND, "logs of hosts are there for the role `admin` only")
    found = await parts.host_logs.of(check_token(host, "host"), lines)
    if not found:
        raise await _no_log(parts, host)
    return ok(found)


async def _added(
    parts: Parts, principal: Principal, host: str, body: bytes
) -> Response[Envelope[HostView]]:
    changed = await _write(parts, principal, host, body, "add")
    text = "registered" if changed.changed else "it was there"
    view = await _shown(parts, principal, changed)
    return Response(ok(view, text), status_code=201 if changed.changed else 200)


async def _write(
    parts: Parts, principal: Principal, host: str, body: bytes, verb: str
) -> HostChanged:
    check_token(host, "host")
    _object(body)
    request = HostWrite(principal.user, ADMIN in principal.roles, host, msgspec.Raw(body))
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
    name = check_token(host, "host")
    request = HostSwitch(principal.user, ADMIN in principal.roles, name, enabled)
    changed = await parts.others.ask("registry", "switch", request, HostChanged)
    view = await _shown(parts, principal, changed)
    word = "enabled" if enabled else "disabled"
    return ok(view, word if changed.changed else f"it was {word}")


async def _shown(parts: Parts, principal: Principal, changed: HostChanged) -> HostView:
    await _reached(parts, changed)
    return await _existing(parts, principal, changed.host)


async def _reached(parts: Parts, changed: HostChanged) -> None:
    """Who has changed something must see it at once."""
    await parts.projection.reached(changed.seq, TABLES_WAIT_S)


async def _existing(parts: Parts, principal: Principal, name: str) -> HostView:
    rows = await hosts_of(parts, principal)
    found = next((row for row in rows if row.id == name), None)
    if found is None:
        raise domain.no_host(name)
    return found


async def _no_log(parts: Parts, name: str) -> Rejected:
    every = await tables.list_hosts(parts.projection, "", every=True)
    host = next((one for one in every if one.id == name), None)
    if host is None:
        return domain.no_host(name)
    if isinstance(host.endpoint, Stdio):
        why = f"host {name} has no log yet: no executor has started it"
    else:
        why = f"host {name} is no program that executors start, so there is no log of it"
    return Rejected(Reason.NOT_FOUND, why)


ROUTES = (
    *(list_hosts, get_host, register_host, add_host, update_host, remove_host),
    *(enable_host, disable_host, probe_host, discover, get_host_log),
)
