"""The route that says how much hosts have to do."""

from __future__ import annotations

import msgspec
from litestar import get

from contracts import scopes
from services.gateway.http.parts import Asking, Envelope, Wired, hosts_of, ok
from services.gateway.openapi.document import described
from services.log.projection import Projection, reads

_LOAD = """SELECT host, sum(status = 'running'), sum(status = 'queued') FROM tasks
    WHERE done_at IS NULL AND status IN ('running', 'queued') GROUP BY host"""


class HostWork(msgspec.Struct, frozen=True):
    """What a host has to do now, for all users."""

    host: str
    running: int
    """Attempts that an executor has claimed."""
    queued: int
    """Attempts on their way to one."""
    most: int
    """So many it gets at once, `limits.max_concurrency`."""


@get("/api/load", opt=described(scope=scopes.HOSTS_READ, errors=(503,)))
async def show_load(parts: Wired, principal: Asking) -> Envelope[list[HostWork]]:
    """Say of each host that one may use how many attempts it has now, and how many it bears."""
    await parts.caught_up()
    busy = await _busy(parts.projection)
    rows = await hosts_of(parts, principal)
    return ok(
        [HostWork(row.id, *busy.get(row.id, (0, 0)), row.limits.max_concurrency) for row in rows]
    )


@reads
async def _busy(projection: Projection) -> dict[str, tuple[int, int]]:
    rows = await projection.query(_LOAD)
    return {host: (running, queued) for host, running, queued in rows}


ROUTES = (show_load,)
EXAMPLES: tuple[msgspec.Struct, ...] = (HostWork("tools", 2, 1, 4),)
