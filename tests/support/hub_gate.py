"""The door of the stand-in of the Hub: trouble on demand, and the record of requests."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.support.hub_proxy import PREFIX, Proxy
from tests.support.hub_repos import Refused, State

QUOTA, WINDOW_S = 1000, 300


class Request(NamedTuple):
    """One request as it was answered; `status` is 0 when its connection was cut."""

    method: str
    path: str
    status: int
    user: str


@dataclass
class Failure:
    """What the next requests of a kind meet."""

    match: re.Pattern[str]
    status: int
    times: int
    retry_after: float | None
    after: bool
    hang: bool
    torn_at: int | None


class Hub(Protocol):
    """What the gate needs to know."""

    connections: dict[Any, Any]
    state: State

    @property
    def down(self) -> bool:
        """Whether every connection is cut."""

    def failure(self, request: str) -> Failure | None:
        """The trouble that is in store for this request."""

    def record(self, request: Request) -> None:
        """Keep it for assertions."""


class Wire(H11Protocol):
    """A connection that can be cut."""

    def __init__(self, hub: Hub, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hub = hub
        self._name: Any = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._name = (self.client, self.server)
        self._hub.connections[self._name] = transport
        if self._hub.down:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._hub.connections.pop(self._name, None)
        super().connection_lost(exc)


class Gate:
    """In front of everything: trouble on demand, and the record of requests."""

    def __init__(self, hub: Hub, app: Any, proxy: Proxy) -> None:
        self._hub = hub
        self._app = app
        self._proxy = proxy

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path, noted = scope["path"], False

        def note(status: int) -> None:
            # Before the client can see anything of it: tests look right afterwards.
            nonlocal noted
            if not noted:
                noted = True
                self._hub.record(Request(scope["method"], path, status, self._user(scope)))

        async def tell(message: Any) -> None:
            if message["type"] == "http.response.start":
                note(message["status"])
                if not path.startswith(PREFIX):
                    message["headers"] = [*message["headers"], *_usual(path, message)]
            await send(message)

        try:
            await self._answer(scope, receive, tell, note)
        finally:
            note(0)

    def _user(self, scope: Any) -> str:
        try:
            token = self._hub.state.token(HttpRequest(scope))
        except Refused:
            return ""
        return token.user if token else ""

    async def _answer(
        self, scope: Any, receive: Any, send: Any, note: Callable[[int], None]
    ) -> None:
        path = scope["path"]
        app = self._proxy if path.startswith(PREFIX) else self._app
        failure = self._hub.failure(f"{scope['method']} {path}")
        if failure is None:
            await app(scope, receive, send)
        elif failure.hang:
            note(0)
            await _until_gone(receive)
        elif failure.torn_at is not None:
            await app(scope, receive, _torn(send, failure.torn_at))
        elif failure.status and not failure.after:
            # Read to the end: who is answered early may see a cut connection and no answer.
            while (await receive()).get("more_body"):
                pass
            await _failed(path, failure)(scope, receive, send)
        else:
            if failure.after:
                await app(scope, receive, _nowhere)
            note(0)
            transport = self._hub.connections.get((scope["client"], scope["server"]))
            if transport is not None:
                transport.abort()
            await _until_gone(receive)


def _torn(send: Any, left: int) -> Callable[[Any], Awaitable[None]]:
    """Sends no more than so many bytes of the body; the server cuts what is not ended."""

    async def tell(message: Any) -> None:
        nonlocal left
        if message["type"] == "http.response.body":
            message = {**message, "body": message.get("body", b"")[:left], "more_body": True}
            left -= len(message["body"])
        await send(message)

    return tell


async def _nowhere(message: Any) -> None:
    """An answer that gets lost."""


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _bucket(path: str) -> str:
    return "resolvers" if "/resolve/" in path else "api"


def _usual(path: str, message: Any) -> list[tuple[bytes, bytes]]:
    """Headers of every answer of the Hub."""
    headers = [(b"x-request-id", b"Root=1-" + secrets.token_hex(12).encode())]
    if b"ratelimit" not in dict(message["headers"]):
        left = f'"{_bucket(path)}";r={QUOTA - 1};t={WINDOW_S}'
        headers += [(b"ratelimit", left.encode()), (b"ratelimit-policy", _policy(path).encode())]
    return headers


def _policy(path: str) -> str:
    return f'"fixed window";"{_bucket(path)}";q={QUOTA};w={WINDOW_S}'


def _failed(path: str, failure: Failure) -> Response:
    headers = {}
    wait = math.ceil(failure.retry_after or 0)
    if failure.retry_after is not None:
        headers["Retry-After"] = str(wait)
    if failure.status == 429:
        headers["RateLimit"] = f'"{_bucket(path)}";r=0;t={wait}'
        headers["RateLimit-Policy"] = _policy(path)
        return JSONResponse({"error": "Too Many Requests"}, 429, headers)
    return JSONResponse({"error": "Internal Error"}, failure.status, headers)


async def refused(request: HttpRequest, error: Exception) -> Response:
    """Answer a `Refused` as the Hub does."""
    assert isinstance(error, Refused)
    return JSONResponse(error.body, error.status, error.headers)
