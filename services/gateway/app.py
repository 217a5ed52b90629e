"""The ASGI application: the outermost layer, common to HTTP and websockets.

Request ids, security headers, limits and the websocket's handshake are here; HTTP is Litestar's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import msgspec
from prometheus_client import Histogram

from contracts import wire
from contracts.errors import Reason
from contracts.ids import is_token
from contracts.wire import HttpError
from services.bus import metrics
from services.gateway.access import cors
from services.gateway.access.identity import Principal, bearer
from services.gateway.access.limits import RateLimit
from services.gateway.access.tickets import PREFIX as TICKET
from services.gateway.domain import shortened
from services.gateway.errors import RETRY_AFTER_S, challenge, failure_body, mcp_failure_body
from services.gateway.http.parts import unauthorized
from services.gateway.stream.connection import Streams
from services.gateway.stream.socket import StreamSocket
from services.process import telemetry, tracing
from services.process.ids import new_id
from services.store.blobs import StoreError

STREAM = "/api/stream"
EVENTS = "/api/events"
MCP = "/mcp"
MCP_PATHS = frozenset({MCP, f"{MCP}/"})
"""Many people's clients have the slash."""
HEALTH = ("/api/health", "/api/health/live", "/api/health/ready")
UNLIMITED = frozenset({*HEALTH, "/.well-known/jwks.json"})
"""Whoever watches the gateway or checks permits is never told to wait; these cost little."""
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


class Refusal(NamedTuple):
    """Why a request gets no further than here."""

    status: int
    reason: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


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
ENCODED = Refusal(415, "unsupported_media_type", "send the body as it is, without Content-Encoding")
FOREIGN = Refusal(
    403,
    Reason.FORBIDDEN,
    "pages of this origin may not use this: see METAMCP_GATEWAY_ALLOWED_ORIGINS",
)

Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Whose = Callable[[str], Awaitable[Principal | None]]

log = telemetry.get_logger()


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
        scope["state"]["request_id"] = request_id
        origin = headers.get("origin")
        extra = (*SECURITY, (b"x-request-id", request_id.encode()))
        shown = cors.of_answer(origin, self.origins)
        method = _method(scope)
        began = time.perf_counter()

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.perf_counter() - began
                REQUESTS.labels(method, status).observe(seconds)
                span.rename(_operation(method, scope))
                span.note(status=status, request=request_id)
                if status >= 500:
                    span.fail(str(status))
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                added = [pair for pair in extra if pair[0] not in names]
                message["headers"] = given + added + shown
            await send(message)

        with tracing.received(method, headers.get("traceparent")) as span:
            if cors.is_preflight(method, headers):
                await _bare(answer, 204, cors.of_preflight(origin, self.origins))
            else:
                await self._asked(scope, headers, receive, answer)

    async def _asked(
        self, scope: Scope, headers: dict[str, str], receive: Receive, answer: Send
    ) -> None:
        """Serve a request that is no browser's question before one."""
        state, path = scope["state"], scope["path"]
        try:
            principal = state["principal"] = await self._asking(scope, headers)
        except StoreError as error:
            log.warning("token_not_looked_up", error=str(error))
            await _fail(scope, answer, UNKNOWN)
            return
        state["refused"] = principal is None and "authorization" in headers
        waited = path not in UNLIMITED and self._limit.over(principal, scope.get("client"))
        if waited:
            again = _retry_after(waited)
            text = f"too many requests: wait {again[1].decode()} s"
            await _fail(scope, answer, Refusal(429, Reason.RATE_LIMITED, text, (again,)))
        elif path == STREAM:
            await _fail(scope, answer, NO_HANDSHAKE)
        elif headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            await _fail(scope, answer, ENCODED)
        elif path in MCP_PATHS and self._is_foreign(headers):
            await _fail(scope, answer, FOREIGN)
        elif path in MCP_PATHS and principal is None:
            asked = (b"www-authenticate", challenge(state).encode())
            refusal = Refusal(401, Reason.UNAUTHORIZED, unauthorized(state), (asked,))
            await _fail(scope, answer, refusal)
        elif path in MCP_PATHS:
            await self._mcp(scope, receive, answer)
        elif scope["method"] == "HEAD":
            await self._http(*_head(scope, answer))
        else:
            await self._http(scope, receive, answer)

    def _is_foreign(self, headers: dict[str, str]) -> bool:
        """Whether a page asks that is none of ours."""
        origin = headers.get("origin")
        return origin is not None and origin not in self.origins

    async def _asking(self, scope: Scope, headers: dict[str, str]) -> Principal | None:
        """Who asks, where that matters. Raises StoreError: that isn't known now.

        A ticket is good for streams alone, and nothing else belongs into an address.
        """
        path, token = scope["path"], bearer(headers.get("authorization"))
        if path in UNLIMITED:
            return None
        if token is None and path in (STREAM, EVENTS):
            given = _ticket(scope)
            token = given if given and given.startswith(TICKET) else None
        elif token is not None and token.startswith(TICKET) and path != STREAM:
            return None
        return None if token is None else await self._whose(token)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        if scope["path"] != STREAM:
            await _refuse(send, 404)
        elif self._is_foreign(headers):
            await _refuse(send, 403)
        elif self._streams.full:
            await _refuse(send, 503)
        elif wire.PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            reason = f"ask for the subprotocol {wire.PROTOCOL}"
            await send({"type": "websocket.close", "code": BAD_SUBPROTOCOL, "reason": reason})
        else:
            await self._stream(scope, headers, receive, send)

    async def _stream(
        self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send
    ) -> None:
        shown = bearer(headers.get("authorization")) or _ticket(scope)
        try:
            principal = await self._asking(scope, headers)
        except StoreError as error:
            log.warning("token_not_looked_up", error=str(error))
            await _refuse(send, 503)
            return
        if wait := self._limit.over(principal, scope.get("client")):
            await _refuse(send, 429, _retry_after(wait))
            return
        await receive()
        await send({"type": "websocket.accept", "subprotocol": wire.PROTOCOL})
        socket: StreamSocket = scope["state"]["socket"]
        await self._streams.serve(socket, principal, refused=bool(shown and not principal))


def _retry_after(seconds: float) -> tuple[bytes, bytes]:
    return b"retry-after", b"%d" % (int(seconds) + 1)


def _ticket(scope: Scope) -> str | None:
    """The one-time ticket in the query: browsers can't send a header here."""
    query = parse_qs(scope["query_string"].decode("ascii", "replace"))
    return next(iter(query.get("ticket", ())), None)


def _operation(method: str, scope: Scope) -> str:
    """The method and the route's template, as far as a request has come."""
    route = MCP if scope["path"] in MCP_PATHS else scope.get("path_template", "")
    return f"{method} {route}".strip()


def _method(scope: Scope) -> str:
    """The request's method; whatever is no usual one counts as one, so that labels are few."""
    method = str(scope["method"])
    return method if method in METHODS else "OTHER"


def _head(scope: Scope, send: Send) -> tuple[Scope, Receive, Send]:
    """Ask for the same with GET and keep the head of the answer; its body goes nowhere."""
    headed = asyncio.Event()

    async def gone() -> Any:
        await headed.wait()
        return {"type": "http.disconnect"}

    async def head(message: Any) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            headed.set()

    return {**scope, "method": "GET"}, gone, head


async def _bare(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    """Answer without a body."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    """Answer a websocket handshake with an HTTP status."""
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b""})


async def _fail(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer what does not get as far as a route."""
    path, request_id = scope["path"], scope["state"]["request_id"]
    error = HttpError(*refusal[:3], shortened(path), request_id=request_id)
    head = [(b"content-type", b"application/json"), *refusal.headers]
    await send({"type": "http.response.start", "status": error.code, "headers": head})
    wrap = mcp_failure_body if path in MCP_PATHS else failure_body
    await send({"type": "http.response.body", "body": msgspec.json.encode(wrap(error))})


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
