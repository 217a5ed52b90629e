"""The ASGI application: the outermost layer, common to HTTP and websockets.

Request ids, security headers, limits and the websocket's handshake are here; HTTP is Litestar's.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

from prometheus_client import Histogram

from contracts import wire
from contracts.errors import Reason, Rejected
from contracts.ids import is_token
from contracts.scopes import MCP_CALL
from services.bus import metrics
from services.gateway.access import cors
from services.gateway.access.identity import InsufficientScope, Principal, bearer
from services.gateway.access.limits import RateLimit
from services.gateway.access.tickets import PREFIX as TICKET
from services.gateway.access.use import OverBudget
from services.gateway.console import assets
from services.gateway.errors import (
    challenge,
    scope_challenge,
)
from services.gateway.http.parts import unauthorized
from services.gateway.mcp.limited import LIMITED
from services.gateway.oauth.places import PATHS
from services.gateway.oauth.server import OAuth
from services.gateway.paths import is_canonical
from services.gateway.people.ports import SignIns
from services.gateway.people.trail import Trail
from services.gateway.refusals import (
    CROWDED,
    DENIED,
    ENCODED,
    FOREIGN,
    MCP,
    MCP_SLASH,
    NO_HANDSHAKE,
    UNKNOWN,
    Refusal,
    client_of,
    denial,
    fail,
    is_mcp,
    nowhere,
    retry_after,
)
from services.gateway.stream.connection import Streams
from services.gateway.stream.socket import StreamSocket
from services.process import telemetry, tracing
from services.process.ids import new_id
from services.store.blobs import StoreError

STREAM = "/api/stream"
EVENTS = "/api/events"
OAUTH_PATHS = PATHS
"""What OAuth has, the pages of people among it."""
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
        browsers: SignIns,
        limit: RateLimit,
        origins: Iterable[str],
        trail: Trail,
        oauth: OAuth,
    ) -> None:
        self._http = http
        self._mcp = mcp
        self._streams = streams
        self._whose = whose
        self._browsers = browsers
        self._limit = limit
        self._trail = trail
        self._oauth = oauth
        self._under_way: Counter[str] = Counter()
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
                if status in DENIED:
                    self._denied(scope, _operation(method, scope), DENIED[status])
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
        state = scope["state"]
        if not _is_one_of_ours(scope):
            await fail(scope, answer, nowhere(scope))
            return
        try:
            principal = state["principal"] = await self._asking(scope, headers)
        except StoreError as error:
            log.warning("token_not_looked_up", error=str(error))
            await fail(scope, answer, UNKNOWN)
            return
        state["refused"] = principal is None and "authorization" in headers
        if principal is None:
            await self._dispatch(scope, headers, receive, answer)
            return
        state["visitor"].known()
        if self._streams.crowds(principal, self._under_way[principal.user]):
            state[LIMITED] = CROWDED
        self._under_way[principal.user] += 1
        try:
            await self._dispatch(scope, headers, receive, answer)
        finally:
            self._under_way[principal.user] -= 1
            if not self._under_way[principal.user]:
                del self._under_way[principal.user]

    async def _dispatch(
        self, scope: Scope, headers: dict[str, str], receive: Receive, answer: Send
    ) -> None:
        """Serve a request of which is known who asks."""
        state, path = scope["state"], scope["path"]
        principal: Principal | None = state["principal"]
        # A browser that loads the console asks for a hundred of its files at once.
        free = path in UNLIMITED or assets.is_file(path)
        waited = not free and self._limit.over(principal, client_of(scope))
        if waited and LIMITED not in state:
            again = retry_after(waited)
            text = f"too many requests: wait {again[1].decode()} s"
            state[LIMITED] = Refusal(429, Reason.RATE_LIMITED, text, (again,))
        if LIMITED in state and (principal is None or not is_mcp(path)):
            await fail(scope, answer, state[LIMITED])
        elif path == STREAM:
            await fail(scope, answer, NO_HANDSHAKE)
        elif headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            await fail(scope, answer, ENCODED)
        elif is_mcp(path) and self._is_foreign(headers):
            await fail(scope, answer, FOREIGN)
        elif is_mcp(path) and principal is None:
            asked = (b"www-authenticate", self._challenge(state).encode())
            refusal = Refusal(401, Reason.UNAUTHORIZED, unauthorized(state), (asked,))
            await fail(scope, answer, refusal)
        elif is_mcp(path) and principal is not None and not principal.may(MCP_CALL):
            await fail(scope, answer, self._too_little(MCP_CALL))
        elif is_mcp(path):
            try:
                await self._mcp(scope, receive, answer)
            except OverBudget as error:
                again = retry_after(error.wait_s)
                await fail(scope, answer, Refusal(429, error.reason, error.message, (again,)))
        elif path in OAUTH_PATHS:
            await self._oauth(scope, receive, answer)
        elif scope["method"] == "HEAD":
            await self._http(*_head(scope, answer))
        else:
            await self._http(scope, receive, answer)

    def _denied(self, scope: Scope, what: str, reason: str) -> None:
        """Note that somebody was kept out, with what they have shown."""
        state = scope["state"]
        why, missing = state.get("reason", reason), state.get("missing", "")
        self._trail.denied(denial(scope, what, why, missing))

    def _challenge(self, state: Mapping[str, Any]) -> str:
        """What a client at the MCP door has to know to come in."""
        at = self._oauth.at
        return challenge(state) if at is None else at.challenge(bool(state.get("refused")))

    def _too_little(self, scope: str) -> Refusal:
        """Refuse a token that is not good for this; a client may ask its person for more."""
        at, error = self._oauth.at, InsufficientScope(scope)
        told = scope_challenge(scope) if at is None else at.insufficient(scope)
        headers = ((b"www-authenticate", told.encode()),)
        details = {"scope": scope}
        return Refusal(403, error.reason, error.message, headers, details, error.missing)

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
        if token is None:
            return self._browsing(scope, headers)
        return await self._whose(token)

    def _browsing(self, scope: Scope, headers: dict[str, str]) -> Principal | None:
        """Whose a request is that comes with a cookie; one that changes something has to show that
        no other site had it sent: here, or as a form to a route that looks itself."""
        state, path = scope["state"], scope["path"]
        # Programs alone come there, and a page's websocket has a ticket.
        if is_mcp(path) or path == STREAM:
            return None
        if self._browsers.cookie not in headers.get("cookie", ""):
            return None
        found = state["browser"] = self._browsers.browser(headers)
        if found is None or scope["method"] in ("GET", "HEAD"):
            return found
        try:
            self._browsers.check_form(headers, found, headers.get("x-csrf-token", ""))
        except Rejected as error:
            state["forged"] = error.message
            return None
        return found

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        if scope["path"] != STREAM or not is_canonical(scope["raw_path"]):
            await _refuse(send, 404)
        elif self._is_foreign(headers):
            self._denied(scope, f"GET {STREAM}", Reason.FORBIDDEN)
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
        if wait := self._limit.over(principal, client_of(scope)):
            await _refuse(send, 429, retry_after(wait))
            return
        await receive()
        await send({"type": "websocket.accept", "subprotocol": wire.PROTOCOL})
        state = scope["state"]
        socket: StreamSocket = state["socket"]
        state["refused"] = refused = bool(shown and not principal)

        def denied(who: Principal | None, what: str, reason: str, missing: str) -> None:
            state["principal"] = who
            state["refused"] = refused or what == "auth"
            subject = f"GET {STREAM} {what}".strip()
            self._trail.denied(denial(scope, subject, reason, missing))

        await self._streams.serve(socket, principal, denied, refused=refused)


def _is_one_of_ours(scope: Scope) -> bool:
    return is_canonical(scope["raw_path"]) or scope["raw_path"].decode() == MCP_SLASH


def _ticket(scope: Scope) -> str | None:
    """The one-time ticket in the query: browsers can't send a header here."""
    query = parse_qs(scope["query_string"].decode("ascii", "replace"))
    return next(iter(query.get("ticket", ())), None)


def _operation(method: str, scope: Scope) -> str:
    """The method and the route's template, as far as a request has come."""
    route = MCP if is_mcp(scope["path"]) else scope.get("path_template", "")
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


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
