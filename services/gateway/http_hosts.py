"""The log of a host, for the role `admin`: for everybody else there is nothing here."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter

from contracts.errors import Reason, Rejected
from contracts.host import Stdio
from contracts.ids import check_token
from contracts.wire import HostLog
from services.gateway import projection as tables
from services.gateway.domain import ADMIN
from services.gateway.host_logs import HostLogs
from services.gateway.http_parts import Asking, Envelope, Parts, Wired, ok

MOST_LINES = 1000

Lines = Annotated[
    int, QueryParameter(ge=1, le=MOST_LINES, description="At most so many lines, the newest.")
]


@get("/api/mcps/{host:str}/log")
async def get_host_log(
    host: FromPath[str],
    parts: Wired,
    principal: Asking,
    host_logs: NamedDependency[HostLogs],
    lines: Lines = 200,
) -> Envelope[list[HostLog]]:
    """Return what a host has written on stderr, newest last: one log for each executor."""
    if ADMIN not in principal.roles:
        # One process of a host works for all users, and so does its log.
        raise Rejected(Reason.NOT_FOUND, "logs of hosts are there for the role `admin` only")
    found = await host_logs.of(check_token(host, "host"), lines)
    if not found:
        raise Rejected(Reason.NOT_FOUND, await _why_none(parts, host))
    return ok(found)


async def _why_none(parts: Parts, name: str) -> str:
    every = await tables.list_hosts(parts.projection, "", every=True)
    host = next((one for one in every if one.id == name), None)
    if host is None:
        return f"there is no host {name}"
    if not isinstance(host.endpoint, Stdio):
        return f"host {name} is no program that executors start, so there is no log of it"
    return f"host {name} has no log yet: no executor has started it"


def router(logs: HostLogs) -> Router:
    """The routes of this module; `logs` is what they ask."""

    async def provide_logs() -> HostLogs:
        return logs

    return Router(
        "/", route_handlers=[get_host_log], dependencies={"host_logs": Provide(provide_logs)}
    )
