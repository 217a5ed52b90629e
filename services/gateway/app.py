"""The ASGI application: the outermost layer, common to HTTP and websockets.

Request ids, security headers, limits and the websocket's handshake are here; HTTP is Litestar's.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import msgspec
from prometheus_client import Histogram

from contracts import wire
from contracts.errors import Reason
from contracts.ids import is_token
from contracts.wire import HttpError
from services import metrics, tracing
from services.gateway.http_errors import failure_body
from services.gateway.identity import Principal, bearer
from services.gateway.limits import RateLimit
from services.gateway.socket import StreamSocket
from services.gateway.streams import Streams
from services.ids import new_id

STREAM = "/api/stream"
EVENTS = "/api/events"
MCP = "/mcp"
SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
BAD_SUBPROTOCOL = 4406
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUESTS = Histogram(
    "metamcp_http_request_seconds",
    "From a request to the head of its answer.",
    ["method", "status"],
    buckets=metrics.SECONDS,
)

Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Whose = Callable[[str], Principal | None]


class Gateway:
    """Dispatches connections; `http` is the Litestar application, `mcp` the MCP server."""

    def __init__(
        self,
        http: Asgi,
        mcp: Asgi,
        streams: Streams,
        whose: Whose,
        limit: RateLimit,
        origins: Iterable[str],
    ) -> None:
        self._http = http
        self._mcp = mcp
        self._streams = streams
        self._whose = whose
        self._limit = limit
        self.origins = set(origins)
        """Web pages that may open a websocket; the gateway's own address is added at start."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        match scope["type"]:
            case "http":
                await self._request(scope, receive, send)
            case "websocket":
                await self._websocket(scope, receive, send)
            case _:
                await self._http(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        given = headers.get("x-request-id")
        request_id = given if given is not None and is_token(given) else new_id()
        state = scope["state"]
        state["request_id"] = request_id
        principal = state["principal"] = self._asking(scope, headers)
        extra = (*SECURITY, (b"x-request-id", request_id.encode()))

        began = time.perf_counter()

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - began
                REQUESTS.labels(_method(scope), message["status"]).observe(seconds)
                span.note(status=message["status"], request=request_id)
                if message["status"] >= 500:
                    span.fail(str(message["status"]))
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message["headers"] = given + [pair for pair in extra if pair[0] not in names]
            await send(message)

        with tracing.received(_method(scope), headers.get("traceparent")) as span:
            if wait := self._limit.over(principal, scope.get("client")):
                await _too_many(scope["path"], request_id, wait, answer)
            elif scope["path"] != MCP:
                await self._http(scope, receive, answer)
            elif principal is None:
                await _unauthorized(scope["path"], request_id, answer)
            else:
                await self._mcp(scope, receive, answer)
            route = scope.get("path_template") or (MCP if scope["path"] == MCP else "")
            span.rename(f"{_method(scope)} {route}".strip())

    def _asking(self, scope: Scope, headers: dict[str, str]) -> Principal | None:
        if token := bearer(headers.get("authorization")):
            return self._whose(token)
        if scope["path"] == EVENTS and (ticket := _ticket(scope)):
            return self._streams.authenticate(ticket)
        return None

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        origin = headers.get("origin")
        if scope["path"] != STREAM:
            await _refuse(send, 404)
        elif origin is not None and origin not in self.origins:
            await _refuse(send, 403)
        elif self._streams.full:
            await _refuse(send, 503)
        elif wire.PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            reason = f"ask for the subprotocol {wire.PROTOCOL}"
            await send({"type": "websocket.close", "code": BAD_SUBPROTOCOL, "reason": reason})
        else:
            await receive()
            await send({"type": "websocket.accept", "subprotocol": wire.PROTOCOL})
            token = bearer(headers.get("authorization")) or _ticket(scope)
            socket: StreamSocket = scope["state"]["socket"]
            await self._streams.serve(socket, receive, token)


def _ticket(scope: Scope) -> str | None:
    """The one-time ticket in the query: browsers can't send a header here."""
    query = parse_qs(scope["query_string"].decode("ascii", "replace"))
    return next(iter(query.get("ticket", ())), None)


def _method(scope: Scope) -> str:
    """The request's method; whatever is no usual one counts as one, so that labels are few."""
    method = str(scope["method"])
    return method if method in METHODS else "OTHER"


async def _refuse(send: Send, status: int) -> None:
    """Answer a websocket handshake with an HTTP status."""
    await send({"type": "websocket.http.response.start", "status": status, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b""})


async def _too_many(path: str, request_id: str, wait: float, send: Send) -> None:
    seconds = str(int(wait) + 1)
    text = f"too many requests: wait {seconds} s"
    error = HttpError(429, Reason.RATE_LIMITED.value, text, path, request_id=request_id)
    await _fail(error, (b"retry-after", seconds.encode()), send)


async def _unauthorized(path: str, request_id: str, send: Send) -> None:
    text = "send `Authorization: Bearer <token>`; see docs"
    error = HttpError(401, Reason.UNAUTHORIZED.value, text, path, request_id=request_id)
    await _fail(error, (b"www-authenticate", b"Bearer"), send)


async def _fail(error: HttpError, header: tuple[bytes, bytes], send: Send) -> None:
    head = [(b"content-type", b"application/json"), header]
    await send({"type": "http.response.start", "status": error.code, "headers": head})
    body = msgspec.json.encode(failure_body(error))
    await send({"type": "http.response.body", "body": body})


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
