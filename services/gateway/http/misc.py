"""The other routes: blobs, tickets, keys."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post, put

from contracts import scopes
from contracts.budget import DEFAULT, Budget, InUse
from contracts.result import INLINE_LIMIT, Pointer
from services.gateway import permit_keys
from services.gateway.access.identity import Principal
from services.gateway.access.tickets import TICKET_S
from services.gateway.http import blobs, home
from services.gateway.http.me import use_of
from services.gateway.http.parts import Asking, Envelope, Wired, ok
from services.gateway.openapi.document import described
from services.process.version import NAME, TITLE, version

KEYS_AGE_S = 60
"""How long others may keep the public keys; a new key signs later than that after it is known."""
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}")


class Ticket(msgspec.Struct, frozen=True):
    """A one-time ticket for `/api/stream?ticket=`."""

    ticket: str
    expires_in_s: float


class SendLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What may be sent, in whole numbers: for clients that look before they send."""

    max_files: int
    """Files that one task may bring along, those of an archive counted."""
    max_files_bytes: int
    """Bytes of them all, unpacked."""
    max_input_bytes: int
    """Bytes of an input that is named by `input_pointer`."""
    max_blob_bytes: int
    """Bytes of one upload to `/api/blobs`."""
    max_body: int
    """Bytes of any other request body."""
    inline_limit: int
    """Bytes of an input that stands in the log itself; a bigger one is moved by the gateway."""
    budgets: Budget | None = None
    """One's own; without a token none."""
    used: InUse | None = None
    """What of them is used."""


EXAMPLES = (
    Ticket("ticket_…", TICKET_S),
    SendLimits(
        *(10_000, 268_435_456, 8_388_608, 268_435_456, 1_048_576, 65_536),
        budgets=DEFAULT,
        used=InUse(
            open_tasks=3,
            open_bytes=2_400,
            facts=41,
            tasks_a_day=120,
            hosts=1,
            stored_bytes=1_310_720,
            stored_blobs=2,
        ),
    ),
)


@get("/", sync_to_thread=False, before_request=home.for_people)
def index() -> Envelope[dict[str, Any]]:
    """Say what this is."""
    links = {
        "health": "/api/health",
        "tasks": "/api/tasks",
        "hosts": "/api/mcps",
        "results": "/api/results",
        "accounts": "/api/accounts",
        "spaces": "/api/spaces",
        "tokens": "/api/tokens",
        "batches": "/api/batches",
        "operations": "/api/operations",
        "users": "/api/users",
        "sessions": "/api/auth/sessions",
        "clients": "/api/clients",
        "grants": "/api/auth/grants",
        "limits": "/api/limits",
        "me": "/api/me",
        "access": "/api/access",
        "stream": "/api/stream",
        "events": "/api/events",
        "mcp": "/mcp",
        "keys": "/.well-known/jwks.json",
        "schema": "/api/schema/openapi.json",
        "docs": "/api/docs",
        "console": "/console",
    }
    return ok({"name": NAME, "version": version(), "links": links}, TITLE)


@get("/api/limits")
async def show_limits(request: Request[Any, Any, Any], parts: Wired) -> Envelope[SendLimits]:
    """Say what a task may bring along and how big requests may be, and one's budgets if asked."""
    who: Principal | None = request.scope["state"].get("principal")
    task, own = parts.executors.limits(), parts.settings
    return ok(
        SendLimits(
            max_files=task.files,
            max_files_bytes=task.files_bytes,
            max_input_bytes=task.input_bytes,
            max_blob_bytes=own.blob_limit,
            max_body=own.max_body,
            inline_limit=INLINE_LIMIT,
            budgets=None if who is None else parts.desk.admission.budget_of(who.user),
            used=None if who is None else await use_of(parts, who.user),
        )
    )


@put(
    "/api/blobs",
    status_code=201,
    opt=described(scope=scopes.TASKS_WRITE, body=bytes, errors=(503, 507)),
)
async def put_blob(
    request: Request[Any, Any, Any], parts: Wired, principal: Asking
) -> Envelope[Pointer]:
    """Store the body's bytes; the answer is what a task names as `input_pointer`."""
    given = request.headers.get("content-type", "").partition(";")[0].strip()
    media_type = given if _MEDIA_TYPE.fullmatch(given) else "application/octet-stream"
    pointer = await parts.desk.upload(
        principal.user, request.stream(), media_type, operator=principal.operator
    )
    return ok(pointer, "stored")


@post("/api/auth/ticket", status_code=201, opt=described(scope="", errors=(503,)))
async def make_ticket(parts: Wired, principal: Asking) -> Envelope[Ticket]:
    """Return a one-time ticket for a websocket at any gateway, good for 30 s."""
    return ok(Ticket(await parts.tickets.issue(principal), TICKET_S))


@get(
    "/.well-known/jwks.json",
    media_type="application/jwk-set+json",
    opt=described(answer=dict[str, list[dict[str, Any]]]),
)
async def jwks(parts: Wired) -> Response[bytes]:
    """Return the public keys that permits are signed with, as a JWK set (RFC 7517)."""
    # Who asks because of a new permit must find its key.
    await parts.caught_up()
    keys = await permit_keys.jwks(parts.projection)
    headers = {"Cache-Control": f"public, max-age={KEYS_AGE_S}" if keys else "no-store"}
    return Response(
        msgspec.json.encode({"keys": keys}),
        media_type="application/jwk-set+json",
        headers=headers,
    )


def router(blob_limit: int) -> Router:
    """The routes of this module; a blob may have `blob_limit` bytes."""
    of_blobs = [put_blob, *blobs.ROUTES]
    every = Router("/", route_handlers=of_blobs, request_max_body_size=blob_limit)
    return Router("/", route_handlers=[index, show_limits, every, make_ticket, jwks])
