"""Routes under `/api/access`: auditors and admins read who came in and who was kept out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
from litestar import get
from litestar.params import QueryParameter
from litestar.response import Stream

from contracts.access import AccessEvent
from contracts.errors import Reason, Rejected
from contracts.scopes import ADMIN as ADMIN_SCOPE
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.domain import ADMIN, AUDITOR
from services.gateway.http.parts import Asking, Cursor, Limit, Page, Parts, Wired
from services.gateway.openapi.document import described
from services.gateway.people.access_log import AccessLine, AccessQuery, shown

PING_S = 15.0
"""An empty line keeps a quiet connection open."""
LOOK_S = 1.0
"""How often it is looked whether who follows still may."""
MOST_FOLLOWERS = 32
PLACE = "Metamcp-Cursor"
"""Header: where a stream begins, to go on there after a cut."""

Whose = Annotated[str | None, QueryParameter(description="Only events about this user.")]
Kind = Annotated[str | None, QueryParameter(description="Only events of this kind.")]
Outcome = Annotated[
    str | None, QueryParameter(description="Only events that ended so: `ok`, `refused`, `failed`.")
]
Since = Annotated[
    float | None, QueryParameter(description="Only events from then on; seconds since the epoch.")
]
Until = Annotated[
    float | None, QueryParameter(description="Only events before; seconds since the epoch.")
]
Order = Annotated[
    Literal["oldest", "newest"],
    QueryParameter(description="Which come first. A `next_cursor` is good for the same order."),
]

EXAMPLE = shown(
    AccessEvent(
        id="7a1f",
        at=1_796_000_000.25,
        by="gateway-1",
        kind="denied",
        outcome="refused",
        subject="GET /api/tasks",
        address="192.0.2.7",
        reason="unauthorized",
        request_id="b3c9",
        details={"count": "12"},
    ),
    41,
)
EXAMPLES = (EXAMPLE,)


@get("/api/access", opt=described(scope=ADMIN_SCOPE, errors=(403, 503)))
async def list_access(
    parts: Wired,
    principal: Asking,
    user: Whose = None,
    kind: Kind = None,
    outcome: Outcome = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    order: Order = "oldest",
) -> Page[AccessLine]:
    """List what was noted, oldest or newest first: sign-ins, denials, changes of tokens and so on.

    A page may be short, or empty, and still have a `next_cursor`.
    """
    _check(principal)
    query = AccessQuery(user=user, kind=kind, outcome=outcome, since=since, until=until)
    return await page_of(parts, query, cursor, limit, order)


@get(
    "/api/access/follow",
    media_type="application/x-ndjson",
    opt={"no_compression": True} | described(scope=ADMIN_SCOPE, errors=(403, 503)),
)
async def follow_access(
    parts: Wired,
    principal: Asking,
    user: Whose = None,
    kind: Kind = None,
    outcome: Outcome = None,
    since: Since = None,
    cursor: Cursor = None,
) -> Stream:
    """Follow what is noted, as JSON lines: from a sequence or a time on, or only what is new.

    An empty line says that nothing has come for a while.
    """
    _check(principal)
    if parts.access.followers >= MOST_FOLLOWERS:
        text = f"{MOST_FOLLOWERS} follow already at this gateway, the most there may be: try again"
        raise Rejected(Reason.UNAVAILABLE, text)
    query = AccessQuery(user=user, kind=kind, outcome=outcome, since=since)
    _filter(query)
    after = (0 if since is not None else await parts.access.newest()) if cursor is None else cursor
    lines = _lines(parts, principal, query, after)
    headers = {PLACE: str(after), "X-Accel-Buffering": "no"}
    return Stream(lines, media_type="application/x-ndjson", headers=headers)


async def page_of(
    parts: Parts, query: AccessQuery, cursor: int | None, limit: int, order: Order
) -> Page[AccessLine]:
    """One page of the answer. Raises StoreError, Rejected(BAD_REQUEST)."""
    _filter(query)
    if order == "newest":
        found, more = await parts.access.page_back(query, cursor, limit)
    else:
        found, more = await parts.access.page(query, cursor or 0, limit)
    return Page(True, found, next_cursor=more)


async def _lines(
    parts: Parts, principal: Principal, query: AccessQuery, after: int
) -> AsyncIterator[bytes]:
    quiet_s = 0.0
    parts.access.followers += 1
    try:
        async for lines in parts.access.follow(query, after, quiet_s=LOOK_S):
            left_s = principal.left_s()
            if not parts.access.holds(principal) or (left_s is not None and left_s <= 0):
                return
            quiet_s = 0.0 if lines else quiet_s + LOOK_S
            if lines:
                yield b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
            elif quiet_s >= PING_S:
                quiet_s = 0.0
                yield b"\n"
    finally:
        parts.access.followers -= 1


def _check(principal: Principal) -> None:
    if not principal.roles & {AUDITOR, ADMIN}:
        text = "who came in is told to the roles `auditor` and `admin`; your own: /api/me/access"
        raise NotAllowed("role auditor or admin", text)


def _filter(query: AccessQuery) -> None:
    """Refuse what can't be part of a filter."""
    for name, text in (("kind", query.kind), ("user", query.user)):
        plain = (text or "x").replace(".", "_").replace("-", "_").replace("_", "x")
        if not (plain.isascii() and plain.isalnum() and len(plain) <= 64):
            raise Rejected(Reason.BAD_REQUEST, f"`{name}` can't be {text!r:.60}")


ROUTES = (list_access, follow_access)
