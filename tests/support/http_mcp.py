"""The recording MCP server behind streamable HTTP, on a free port, that can be mistreated.

Prints its URL. Environment: TOKEN (asked for as bearer), BUSY (so many requests get 503 first),
JSON (answers are plain JSON), GZIP (they come compressed).
"""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn

from tests.support.forked import Forked
from tests.support.recording_mcp import FILE, server, write


class Strict:
    """Lets nobody in without the token, and is busy at first."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.token = os.environ.get("TOKEN", "")
        self.busy = int(os.environ.get("BUSY", "0"))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = dict(scope["headers"]).get(b"authorization", b"").decode()
        write(event="request", how=scope["method"], tool=given, task="", attempt=0)
        if self.token and given != f"Bearer {self.token}":
            return await answer(send, 401, b"who are you?")
        if self.busy > 0:
            self.busy -= 1
            return await answer(send, 503, b"waking up")
        if os.environ.get("GZIP"):
            return await answer(send, 200, gzip.compress(b"{}"), (b"content-encoding", b"gzip"))
        return await self.app(scope, receive, send)


async def answer(send: Any, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    kind = (b"content-type", b"application/json" if headers else b"text/plain")
    head = [kind, (b"retry-after", b"0"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    listening = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    app = server.streamable_http_app(json_response=bool(os.environ.get("JSON")))
    config = uvicorn.Config(Strict(app), log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


class HttpServer:
    """One server process; `url` stays the same over restarts."""

    def __init__(self, record: Path, variables: dict[str, str]) -> None:
        self._environment = {**os.environ, FILE: str(record), **variables}
        self._running: Forked | None = None
        self.url = ""

    async def start(self) -> None:
        """Start it; it listens when this returns."""
        self._running = Forked("tests.support.http_mcp", self._environment)
        self.url = await self._running.line()
        self._environment["PORT"] = self.url.rpartition(":")[2].partition("/")[0]

    async def kill(self) -> None:
        """End it as a crash does."""
        if self._running is not None:
            await self._running.kill()
            self._running = None


@contextlib.asynccontextmanager
async def http_server(record: Path, **variables: str) -> AsyncIterator[HttpServer]:
    """A server in a process of its own, ended in the end."""
    one = HttpServer(record, variables)
    await one.start()
    try:
        yield one
    finally:
        await one.kill()


if __name__ == "__main__":
    main()
