"""Routes under `/api/me`: who one is here, what one may, what is used of it, what was noted."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get

from contracts.budget import DEFAULT, Budget, InUse
from contracts.host import COMMAND
from contracts.scopes import ADMIN, SCOPES
from services.gateway.access.address import counted
from services.gateway.access.identity import Principal
from services.gateway.http.access import EXAMPLE, Order, Since, Until, page_of
from services.gateway.http.parts import Asking, Cursor, Envelope, Limit, Page, Parts, Wired, ok
from services.gateway.openapi.document import described
from services.gateway.people.access_log import AccessLine, AccessQuery
from services.store.stream import StoreError

_HOSTS = """SELECT count(*) FROM hosts
    WHERE owner = ? AND json_extract(spec, '$.source') = ?"""


class Myself(msgspec.Struct, frozen=True):
    """Who asks, as this gateway knows it."""

    user: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    """What the token is good for."""
    asked_by: str
    """What is noted of who acts: `token:ID`, `session:ID`, `client:ID`; empty: the own token."""
    expires: float | None
    """When it ends, in seconds since the epoch; none: never."""
    budgets: Budget
    """What one may have and do."""
    used: InUse
    """What of that is used."""
    exceptions: dict[str, int]
    """Those budgets that an administrator has set for this user alone."""
    account: bool = False
    """Whether there is an account of this name; a token's user need not have one."""


EXAMPLES = (
    Myself(
        "alice",
        ("user",),
        ("tasks:read", "tasks:write"),
        "token:0190b5c0",
        1_796_000_000.0,
        msgspec.structs.replace(DEFAULT, tasks_a_day=500),
        InUse(open_tasks=3, open_bytes=2_400, facts=41, tasks_a_day=120, hosts=1),
        {"tasks_a_day": 500},
        account=True,
    ),
    EXAMPLE,
)


@get("/api/me", opt=described(scope="", errors=(503,)))
async def show_me(parts: Wired, principal: Asking) -> Envelope[Myself]:
    """Say who one is, what the token is good for, one's budgets and what is used of them."""
    set_ = parts.quotas.of(principal.user)
    return ok(
        Myself(
            user=principal.user,
            roles=tuple(sorted(principal.roles | {"user"})),
            scopes=tuple(name for name in SCOPES if principal.may(name)),
            asked_by=principal.asked_by,
            expires=principal.expires,
            budgets=parts.quotas(principal.user),
            used=await use_of(parts, principal.user),
            exceptions={} if set_ is None else set_.value.limits,
            account=parts.users.account(principal.user) is not None,
        )
    )


@get("/api/me/access", opt=described(scope=ADMIN, errors=(403, 503)))
async def my_access(
    parts: Wired,
    principal: Asking,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    order: Order = "oldest",
) -> Page[AccessLine]:
    """List what was noted about one's own account, oldest or newest first."""
    query = AccessQuery(user=principal.user, since=since, until=until)
    return await page_of(parts, query, cursor, limit, order)


async def use_of(parts: Parts, user: str) -> InUse:
    """What a user has used of all budgets, as far as it is known now."""
    used = parts.quotas.counted(user, parts.desk.admission.used(user))
    ((hosts,),) = await parts.projection.query(_HOSTS, (user, COMMAND))
    used = msgspec.structs.replace(used, hosts=hosts)
    try:
        size, blobs = await parts.desk.usage.of(user)
    except StoreError:
        return used
    return msgspec.structs.replace(used, stored_bytes=size, stored_blobs=blobs)


def noted(parts: Parts, request: Request[Any, Any, Any], kind: str, **fields: Any) -> None:
    """Note that the request has changed something: who asked, from where; the rest is `fields`."""
    state, client = request.scope["state"], request.scope.get("client")
    parts.trail.note(
        kind,
        asked_by=asked_by(state["principal"]),
        address="" if client is None else counted(client[0]),
        request_id=state.get("request_id", ""),
        **fields,
    )


def asked_by(principal: Principal) -> str:
    """Who acts, for what is noted of it."""
    return principal.asked_by or principal.user


ROUTES = (show_me, my_access)
