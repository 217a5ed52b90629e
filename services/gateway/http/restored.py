"""Routes under `/api/restored`: a log that was put back, and what the role admin decides of it."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.params import RawBody

from contracts.restored import AfterRestore, KnownBefore, Restored, RestoredTask
from contracts.scopes import ADMIN as ADMIN_SCOPE
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.domain import ADMIN
from services.gateway.http.me import noted
from services.gateway.http.parts import Asking, Envelope, Wired, ok, read
from services.gateway.openapi.document import described


class RestoredDecision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to become of the tasks that are open again."""

    decision: AfterRestore


EXAMPLES = (
    RestoredDecision(AfterRestore.END),
    Restored(
        waits=True,
        ended=1,
        tasks=(RestoredTask("alice", "t-7", "mcp.call", 17, 1_796_000_000.0, KnownBefore.ENDED),),
    ),
)


@get("/api/restored", opt=described(scope=ADMIN_SCOPE, errors=(403, 503)))
async def show_restored(parts: Wired, principal: Asking) -> Envelope[Restored]:
    """List the tasks that a log put back from a backup has open again, the oldest first."""
    _admin(principal)
    return ok(await parts.checks.restored(None))


@post(
    "/api/restored",
    status_code=200,
    opt=described(scope=ADMIN_SCOPE, body=RestoredDecision, errors=(403, 503)),
)
async def decide_restored(
    body: RawBody, request: Request[Any, Any, Any], parts: Wired, principal: Asking
) -> Envelope[Restored]:
    """Have them run again (`go_on`), or end as failed, `outcome_unknown` (`end`).

    The routers go on then; the answer says what the decision was about.
    """
    _admin(principal)
    decision = read(body, RestoredDecision).decision
    before = await parts.checks.restored(None)
    await parts.checks.restored(decision)
    if before.waits:
        noted(parts, request, "restored.decided", details={"decision": decision.value})
    return ok(before, "decided" if before.waits else "there was nothing to decide")


def _admin(principal: Principal) -> None:
    if ADMIN not in principal.roles:
        raise NotAllowed("role admin", "what is put back is for the role `admin` to decide on")


ROUTES = (show_restored, decide_restored)
