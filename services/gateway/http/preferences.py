"""Routes under `/api/preferences`: how much a user wants tasks to go to which host.

Everybody has preferences of their own; nobody, not even an auditor, sees or sets others' here.
"""

from __future__ import annotations

import msgspec
from litestar import delete, get, put
from litestar.params import RawBody

from contracts import scopes
from services.gateway import projection as tables
from services.gateway.access.identity import Principal
from services.gateway.domain import Weight, parse_weight
from services.gateway.http.parts import Asking, Envelope, HostId, Parts, Wired, of_host, ok
from services.gateway.openapi.document import described
from services.gateway.rows import Preference
from services.process import tracing


class Preferred(msgspec.Struct, frozen=True):
    """What holds now, and is on disk."""

    host: str
    weight: float | None
    """None: nothing is said about this host."""
    seq: int
    """Of the fact that says so; routes whose basis has reached it reckon with it. 0: there never
    was anything to take back."""


@get("/api/preferences", opt=described(scope=scopes.HOSTS_READ))
async def list_preferences(parts: Wired, principal: Asking) -> Envelope[list[Preference]]:
    """List your own preferences, also those for hosts that are gone by now."""
    await parts.holds_what_was_told(principal.user)
    return ok(await tables.list_preferences(parts.projection, principal.user))


@put(
    of_host("/api/preferences/{}"),
    opt=described(scope=scopes.HOSTS_WRITE, body=Weight, errors=(409, 503, 507)),
)
async def put_preference(
    host_id: HostId, body: RawBody, parts: Wired, principal: Asking
) -> Envelope[Preferred]:
    """Say how much you want tasks to go to a host, from `{"weight": 0}` (avoid) to 1 (prefer)."""
    return await _prefer(parts, principal, host_id, parse_weight(body))


@delete(
    of_host("/api/preferences/{}"),
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, errors=(409, 503, 507)),
)
async def delete_preference(
    host_id: HostId, parts: Wired, principal: Asking
) -> Envelope[Preferred]:
    """Take back what you said about a host; the same again changes nothing."""
    return await _prefer(parts, principal, host_id, None)


async def _prefer(
    parts: Parts, principal: Principal, host: str, weight: float | None
) -> Envelope[Preferred]:
    user, trace = principal.user, tracing.current()
    await parts.caught_up()
    who = parts.asker(principal)
    host, usable = await tables.meant(parts.projection, who, host)
    seq = await parts.desk.prefer(
        user, host, weight, usable=usable, trace=trace, operator=principal.operator
    )
    return ok(Preferred(host, weight, seq))


ROUTES = (list_preferences, put_preference, delete_preference)
