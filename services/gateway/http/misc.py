"""The other routes: blobs, tickets, keys."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post, put

from contracts.result import INLINE_LIMIT, Pointer
from services.gateway import projection as tables
from services.gateway.access.tickets import TICKET_S
from services.gateway.http.parts import Asking, Envelope, Wired, ok
from services.gateway.openapi.document import described

NAME = "metamcp-orchestrator"
KEYS_AGE_S = 60
"""How long others may keep the public keys; a new key signs later than that after it is known."""
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}")


class Ticket(msgspec.Struct, frozen=True):
    """A one-time ticket for `/api/stream?ticket=`."""

    ticket: str
    expires_in_s: float


class SendLimits(msgspec.Struct, frozen=True):
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


EXAMPLES = (
    Ticket("ticket_…", TICKET_S),
    SendLimits(10_000, 268_435_456, 8_388_608, 268_435_456, 1_048_576, 65_536),
)


@get("/", sync_to_thread=False)
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
        "limits": "/api/limits",
        "stream": "/api/stream",
        "events": "/api/events",
        "mcp": "/mcp",
        "keys": "/.well-known/jwks.json",
        "schema": "/api/schema/openapi.json",
        "docs": "/api/docs",
    }
    return ok({"name": NAME, "version": version(), "links": links}, "MetaMCP Orchestrator")


@get("/api/limits", sync_to_thread=False)
def show_limits(parts: Wired) -> Envelope[SendLimits]:
    """Say what a task may bring along and how big requests may be; no token is needed."""
    task, own = parts.executors.limits(), parts.settings
    return ok(
        SendLimits(
            max_files=task.files,
            max_files_bytes=task.files_bytes,
            max_input_bytes=task.input_bytes,
            max_blob_bytes=own.blob_limit,
            max_body=own.max_body,
            inline_limit=INLINE_LIMIT,
        )
    )


@put("/api/blobs", status_code=201, opt=described(body=bytes, errors=(503,)))
async def put_blob(
    request: Request[Any, Any, Any], parts: Wired, principal: Asking
) -> Envelope[Pointer]:
    """Store the body's bytes; the answer is what a task names as `input_pointer`."""
    given = request.headers.get("content-type", "").partition(";")[0].strip()
    media_type = given if _MEDIA_TYPE.fullmatch(given) else "application/octet-stream"
    pointer = await parts.desk.upload(principal.user, request.stream(), media_type)
    return ok(pointer, "stored")


@post("/api/auth/ticket", status_code=201, opt=described(errors=(503,)))
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
    keys = await tables.jwks(parts.projection)
    headers = {"Cache-Control": f"public, max-age={KEYS_AGE_S}" if keys else "no-store"}
    return Response(
        msgspec.json.encode({"keys": keys}),
        media_type="application/jwk-set+json",
        headers=headers,
    )


def version() -> str:
    """The installed package's version."""
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return "0"


def router(blob_limit: int) -> Router:
    """The routes of this module; a blob may have `blob_limit` bytes."""
    blobs = Router("/", route_handlers=[put_blob], request_max_body_size=blob_limit)
    return Router("/", route_handlers=[index, show_limits, blobs, make_ticket, jwks])
