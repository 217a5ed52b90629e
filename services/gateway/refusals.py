"""Why a request gets no further than the outermost layer, and how that is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from contracts import wire
from contracts.errors import Reason
from contracts.wire import HttpError
from services.gateway.access.address import counted
from services.gateway.access.identity import Principal
from services.gateway.domain import shortened
from services.gateway.errors import RETRY_AFTER_S, failure_body, mcp_failure_body, over_quota
from services.gateway.people.denials import Denial

MCP = "/mcp"
MCP_SLASH = f"{MCP}/"
"""Many people's clients have the slash; before the name of a profile everybody's."""


class Refusal(NamedTuple):
    """Why a request gets no further than here."""

    status: int
    reason: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    details: Any = None
    missing: str = ""


DENIED: Mapping[int, str] = {401: Reason.UNAUTHORIZED, 403: Reason.FORBIDDEN}
"""Statuses that are noted, and why if the answer says no more."""
DENIALS = frozenset({Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.INSUFFICIENT_SCOPE})
"""The same of answers that have no status: frames of websockets, and what agents are told."""
NO_HANDSHAKE = Refusal(
    426,
    "upgrade_required",
    f"this is for websockets with the subprotocol {wire.PROTOCOL}; /api/events needs none",
    ((b"upgrade", b"websocket"), (b"connection", b"upgrade")),
)
UNKNOWN = Refusal(
    503,
    Reason.UNAVAILABLE,
    "whose this token is can't be looked up now: try again",
    ((b"retry-after", b"%d" % RETRY_AFTER_S),),
)
CROWDED = Refusal(
    429,
    Reason.RATE_LIMITED,
    "this user has too many requests under way: let some end",
    ((b"retry-after", b"%d" % RETRY_AFTER_S),),
)
ENCODED = Refusal(415, "unsupported_media_type", "send the body as it is, without Content-Encoding")
FOREIGN = Refusal(
    403,
    Reason.FORBIDDEN,
    "pages of this origin may not use this: see METAMCP_GATEWAY_ALLOWED_ORIGINS",
)


def is_mcp(path: str) -> bool:
    """Whether this is the MCP server's, for everything or for a profile."""
    return path == MCP or path.startswith(MCP_SLASH)


def nowhere(scope: Any) -> Refusal:
    """What there is at a path that is none of ours."""
    text = f"there is nothing at {shortened(scope['path'])}: each path has one spelling"
    return Refusal(404, Reason.NOT_FOUND, text)


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """The header that says when to come back."""
    return b"retry-after", b"%d" % (int(seconds) + 1)


async def fail(scope: Any, send: Any, refusal: Refusal) -> None:
    """Answer what does not get as far as a route."""
    path, request_id = scope["path"], scope["state"]["request_id"]
    details = over_quota(refusal.message) or refusal.details
    error = HttpError(*refusal[:3], shortened(path), details, request_id)
    scope["state"] |= {"reason": str(refusal.reason), "missing": refusal.missing}
    head = [(b"content-type", b"application/json"), *refusal.headers]
    await send({"type": "http.response.start", "status": error.code, "headers": head})
    wrap = mcp_failure_body if is_mcp(path) else failure_body
    await send({"type": "http.response.body", "body": msgspec.json.encode(wrap(error))})


def denial(scope: Any, subject: str, reason: str, missing: str = "") -> Denial:
    """What is noted of somebody who was kept out, and how they had come."""
    state = scope["state"]
    # Of a forged change it is known whose browser was made to send it.
    who: Principal | None = state.get("principal") or state.get("browser")
    client = client_of(scope)
    return Denial(
        reason,
        address="" if client is None else client[0],
        user="" if who is None else who.user,
        subject=subject,
        method=_method(state, who),
        asked_by="" if who is None else who.asked_by,
        request_id=state.get("request_id", ""),
        missing=missing,
    )


def client_of(scope: Any) -> tuple[str, int] | None:
    """Where a request comes from, as far as that is one client."""
    client = scope.get("client")
    return None if client is None else (counted(client[0]), client[1])


def _method(state: Mapping[str, Any], who: Principal | None) -> str:
    if "browser" in state:
        return "cookie"
    if who is not None and who.asked_by.startswith("client:"):
        return "oauth"
    return "token" if who is not None or state.get("refused") else ""
