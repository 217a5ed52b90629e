"""Routes under `/api/preferences`: how much a user wants tasks to go to which host.

Everybody has preferences of their own; nobody, not even an auditor, sees or sets others' here.
"""

from __future__ import annotations

import msgspec
from litestar import delete, get, put
from litestar.params import FromPath, RawBody

from contracts.ids import check_token
from services.gateway import projection as tables
from services.gateway.access.identity import Principal
from services.gateway.domain import Weight, parse_weight
from services.gateway.http.parts import Asking, Envelope, Parts, Wired, ok
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


@get("/api/preferences")
async def list_preferences(parts: Wired, principal: Asking) -> Envelope[list[Preference]]:
    """List your own preferences, also those for hosts that are gone by now."""
    await parts.holds_what_was_told(principal.user)
    return ok(await tables.list_preferences(parts.projection, principal.user))


@put("/api/preferences/{host:str}", opt=described(body=Weight, errors=(409, 503)))
async def put_preference(
    host: FromPath[str], body: RawBody, parts: Wired, principal: Asking
) -> Envelope[Preferred]:
    """Say how much you want tasks to go to a host, from `{"weight": 0}` (avoid) to 1 (prefer)."""
    return await _prefer(parts, principal, host, parse_weight(body))


@delete("/api/preferences/{host:str}", status_code=200, opt=described(errors=(409, 503)))
async def delete_preference(
    host: FromPath[str], parts: Wired, principal: Asking
) -> Envelope[Preferred]:
    """Take back what you said about a host; the same again changes nothing."""
    return await _prefer(parts, principal, host, None)


async def _prefer(
    parts: Parts, principal: Principal, host: str, weight: float | None
) -> Envelope[Preferred]:
    user, trace = principal.user, tracing.current()
    check_token(host, "host")
    await parts.caught_up()
    usable = await tables.may_use(parts.projection, user, host)
    seq = await parts.desk.prefer(user, host, weight, usable=usable, trace=trace)
    return ok(Preferred(host, weight, seq))


ROUTES = (list_preferences, put_preference, delete_preference)
