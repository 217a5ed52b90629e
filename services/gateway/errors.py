"""Every error of the HTTP API in one shape: `{"success": false, "error": {...}}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException

from contracts.errors import Reason, Rejected
from contracts.wire import HttpError
from services.gateway.access.identity import InsufficientScope
from services.gateway.access.use import SOON_S
from services.gateway.domain import shortened
from services.log.port import LogUnavailable
from services.process import telemetry
from services.store.blobs import BlobMissing, StoreError

STATUS: dict[Reason, int] = {
    Reason.BAD_REQUEST: 400,
    Reason.BAD_ID: 400,
    Reason.TOO_LARGE: 413,
    Reason.UNAUTHORIZED: 401,
    Reason.FORBIDDEN: 403,
    Reason.INSUFFICIENT_SCOPE: 403,
    Reason.NOT_FOUND: 404,
    Reason.CONFLICT: 409,
    # As in the original API: what can't be cancelled any more is not found.
    Reason.ALREADY_OVER: 404,
    Reason.RATE_LIMITED: 429,
    Reason.DIGEST_MISMATCH: 502,
    Reason.UNAVAILABLE: 503,
    Reason.DISK_FULL: 507,
    Reason.INTERNAL: 500,
}
_REASONS: dict[int, str] = {
    401: Reason.UNAUTHORIZED,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    405: "method_not_allowed",
    413: Reason.TOO_LARGE,
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    429: Reason.RATE_LIMITED,
}
RETRY_AFTER_S = 2
AWAY = "the log or the object store does not answer"
GONE = "client disconnected prematurely"
"""What Litestar says when a body has no end."""
_BUDGET = re.compile(r"budget ([a-z_]{1,40}): ")
_PLACE = " - at `$"
"""So msgspec says where something does not fit, at the end of its message."""

log = telemetry.get_logger()

AnyRequest = Request[Any, Any, Any]


class Failure(msgspec.Struct, frozen=True):
    """The body of an answer that failed."""

    success: bool
    error: HttpError


class McpFailure(Failure, frozen=True):
    """The same as an error of JSON-RPC, so that MCP clients show what it says."""

    jsonrpc: str = "2.0"
    id: None = None


def mcp_failure_body(error: HttpError) -> McpFailure:
    """Wrap an error as the body of an answer to an MCP client."""
    return McpFailure(False, error)


def failure_body(error: HttpError) -> Failure:
    """Wrap an error as the body of an answer."""
    return Failure(False, error)


def challenge(state: Mapping[str, Any]) -> str:
    """`WWW-Authenticate` (RFC 6750, 3): with an error only if there was a token."""
    return 'Bearer error="invalid_token"' if state.get("refused") else "Bearer"


def scope_challenge(scope: str) -> str:
    """`WWW-Authenticate` (RFC 6750, 3.1) for a good token that is not for this."""
    return f'Bearer error="insufficient_scope", scope="{scope}"'


def request_id(request: AnyRequest) -> str:
    """The request's id, which the answer carries as `X-Request-Id`."""
    return str(request.scope["state"].get("request_id", ""))


def rejected(request: AnyRequest, error: Rejected) -> Response[Failure]:
    """Answer a refusal of ours."""
    request.scope["state"]["missing"] = getattr(error, "missing", "")
    task = getattr(error, "task", "")
    details: Any = {"task": task} if task else _places(shortened(error.message))
    if isinstance(error, InsufficientScope):
        asked = {"WWW-Authenticate": scope_challenge(error.scope)}
        missing_ = {"scope": error.scope}
        return _answer(request, 403, error.reason, error.message, missing_, asked)
    wait_s = getattr(error, "wait_s", None)
    if over := over_quota(error.message):
        details = over
        if wait_s is None and error.reason is Reason.RATE_LIMITED:
            # Of another service, which does not say when there is room.
            wait_s = SOON_S
    headers = None if wait_s is None else {"Retry-After": str(int(wait_s) + 1)}
    return _answer(request, STATUS[error.reason], error.reason, error.message, details, headers)


def over_quota(message: str) -> dict[str, str] | None:
    """Which budget a refusal names, as `details`; every service begins its message like that."""
    found = _BUDGET.match(message)
    return None if found is None else {"quota": found[1]}


def unavailable(request: AnyRequest, error: Exception) -> Response[Failure]:
    """Answer while the log or the object store is away."""
    log.warning("request_unavailable", path=request.url.path, error=str(error))
    return _answer(request, 503, Reason.UNAVAILABLE, f"{AWAY}: try again")


def missing(request: AnyRequest, error: BlobMissing) -> Response[Failure]:
    """Answer for bytes that are not there."""
    return _answer(request, 404, Reason.NOT_FOUND, str(error))


def http_error(request: AnyRequest, error: HTTPException) -> Response[Failure]:
    """Answer what Litestar itself refuses: routes, methods, bodies, parameters."""
    status, text = error.status_code, error.detail
    details: Any = error.extra or None
    if isinstance(error, ValidationException):
        text = "; ".join(_wrong(item) for item in error.extra or ()) or error.detail
    elif status == 404:
        text = f"there is nothing at {request.url.path}"
    elif status == 413:
        text = "the body is too large"
        if request.url.path == "/api/tasks":
            text += ": send a big input with PUT /api/blobs and name it as `input_pointer`"
    if text == GONE:
        # Nobody hears this. It is no error of ours, and anybody can make any number of it.
        status = 400
    if status >= 500:
        return unexpected(request, error)
    reason = _REASONS.get(status, Reason.BAD_REQUEST)
    return _answer(request, status, reason, text, details, dict(error.headers or {}))


def unexpected(request: AnyRequest, error: Exception) -> Response[Failure]:
    """Answer what should not have happened; the reason stands in our log only."""
    log.error(
        "request_failed", path=request.url.path, request_id=request_id(request), exc_info=error
    )
    return _answer(request, 500, Reason.INTERNAL, "internal error; the gateway's log has it")


def _places(message: str) -> list[dict[str, str]] | None:
    what, found, where = message.rpartition(_PLACE)
    if not found:
        return None
    key = where.rstrip("`").removeprefix(".")
    return [{"message": what.rpartition(": ")[2], "key": key, "source": "body"}]


def _wrong(item: Any) -> str:
    """One thing that does not fit, with its place."""
    if not isinstance(item, dict):
        return str(item)
    place = f" (at {item['key']})" if item.get("key") else ""
    return f"{item.get('message', 'does not fit')}{place}"


def _answer(
    request: AnyRequest,
    status: int,
    reason: str,
    message: str,
    details: Any = None,
    headers: dict[str, str] | None = None,
) -> Response[Failure]:
    extra = dict(headers or {})
    if status in (503, 507):
        extra.setdefault("Retry-After", str(RETRY_AFTER_S))
    if status == 401:
        extra["WWW-Authenticate"] = challenge(request.scope["state"])
    request.scope["state"]["reason"] = str(reason)
    text, path = shortened(message), shortened(request.url.path)
    error = HttpError(status, str(reason), text, path, details, request_id(request))
    return Response(
        failure_body(error), status_code=status, media_type=MediaType.JSON, headers=extra
    )


HANDLERS: dict[int | type[Exception], Any] = {
    Rejected: rejected,
    LogUnavailable: unavailable,
    BlobMissing: missing,
    StoreError: unavailable,
    HTTPException: http_error,
    Exception: unexpected,
}
