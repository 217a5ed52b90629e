"""A real HTTP server in the test's loop that answers as it is told and keeps what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Literal, NamedTuple

from aiohttp import web

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    """Tells connections apart."""


class HttpHost:
    """Answers with the replies of `script`, then for ever with the last of them."""

    def __init__(self, script: list[Reply]) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.url = ""
        self.arrived = asyncio.Condition()
        self.gone = asyncio.Event()
        """A caller went away before it was answered."""

    async def until(self, count: int) -> None:
        """Wait until this many requests have come."""
        async with asyncio.timeout(30), self.arrived:
            await self.arrived.wait_for(lambda: len(self.seen) >= count)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        reply = self.script[min(len(self.seen), len(self.script) - 1)]
        body = await request.read()
        assert request.transport is not None
        port = request.transport.get_extra_info("peername")[1]
        seen = Seen(request.method, request.path_qs, request.headers, body, port)
        async with self.arrived:
            self.seen.append(seen)
            self.arrived.notify_all()
        try:
            return await reply(request)
        except asyncio.CancelledError:
            self.gone.set()
            raise


@contextlib.asynccontextmanager
async def serving(
    *script: Reply, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[HttpHost]:
    """The server, on a free port of 127.0.0.1."""
    host = HttpHost(list(script))
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", host.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        bound = runner.addresses[0][1]
        host.url = f"{'https' if tls else 'http'}://127.0.0.1:{bound}"
        yield host
    finally:
        await runner.cleanup()


def answer(
    body: Any = None, status: int = 200, *, kind: str = "application/json", **headers: str
) -> Reply:
    """This status and body: bytes as they are, all else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def reply(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=data, headers={"Content-Type": kind, **named})

    return reply


def cut() -> Reply:
    """Close the connection without an answer."""

    async def reply(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.StreamResponse()

    return reply


def parts(
    *pieces: bytes, zipped: bool = False, then: Literal["end", "cut", "hang"] = "end"
) -> Reply:
    """An answer of unknown length in these pieces, that ends, is cut off or goes on for ever."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if zipped:
            response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if then == "hang":
            await asyncio.Event().wait()
        elif then == "cut":
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write_eof()
        return response

    return reply


async def hang(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError
