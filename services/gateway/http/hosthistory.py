"""Routes about how hosts have been: the changes of one host's health, as the log has them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get
from litestar.params import QueryParameter

from contracts import scopes, subjects
from contracts.facts import Logged, McpHealth, Record
from contracts.host import HealthStatus
from services.gateway.http.hosts import existing
from services.gateway.http.parts import Asking, Cursor, HostId, Page, Parts, Wired, of_host
from services.gateway.openapi.document import described
from services.gateway.visibility import sees_all_of_hosts

MOST_CHANGES = 200

Changes = Annotated[int, QueryParameter(ge=1, le=MOST_CHANGES, description="At most so many.")]


class HealthChange(msgspec.Struct, frozen=True):
    """A host's health from one moment on."""

    host: str
    k: int
    """Counts this host's changes up from 1."""
    seq: int
    at: float
    """Log time, seconds since the epoch."""
    status: HealthStatus
    reason: str
    """`<kind>: <what happened and what to do>`; empty when all is well. With `calls:` it is what
    executors say of calls that fail, and of their circuit breakers."""
    latency_ms: float
    """Of the probe that found it."""
    said: str
    """Why its program did not start, in its own words; for admins and auditors."""


@get(of_host("/api/mcps/{}/history"), opt=described(scope=scopes.HOSTS_READ, errors=(503,)))
async def get_history(
    host_id: HostId, parts: Wired, principal: Asking, limit: Changes = 50, cursor: Cursor = None
) -> Page[HealthChange]:
    """List the changes of a host's health since it was added, newest first."""
    await parts.caught_up()
    host = await existing(parts, principal, host_id)
    newest = await _newest(parts, host.id)
    last = newest if cursor is None else min(newest, cursor - 1)
    wanted = [subjects.health(host.id, k) for k in range(max(1, last - limit + 1), last + 1)]
    found = await parts.log.read_last(wanted) if wanted else []
    removed = await parts.log.last(subjects.removals(host.id))
    since = removed.seq if removed else 0
    all_of_it = sees_all_of_hosts(principal.powers)
    here = [record for record in reversed(found) if record.seq > since]
    changes = [_change(record, record.fact, all_of_it) for record in here]
    older = last > limit and len(here) == len(found)
    told = [change for change in changes if change is not None]
    return Page(True, told, next_cursor=last - limit + 1 if older else None)


def _change(record: Record, fact: Logged, all_of_it: bool) -> HealthChange | None:
    """None: a newer release has written it."""
    if not isinstance(fact, McpHealth):
        return None
    said = fact.said if all_of_it else ""
    return HealthChange(
        fact.host, fact.k, record.seq, record.at, fact.status, fact.reason, fact.latency_ms, said
    )


async def _newest(parts: Parts, host: str) -> int:
    """The number of the last change that the log has; 0: none."""
    found = await parts.log.last(subjects.health(host))
    return subjects.parse(found.subject).number if found else 0


ROUTES = (get_history,)
EXAMPLES: tuple[msgspec.Struct, ...] = (
    HealthChange(
        host="tools",
        k=7,
        seq=412,
        at=1_767_225_600.0,
        status=HealthStatus.UNHEALTHY,
        reason="unreachable: connection refused; is it running?",
        latency_ms=12.5,
        said="",
    ),
)
