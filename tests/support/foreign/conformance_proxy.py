"""In front of `/mcp` for the conformance suite, which has no token and knows tools by bare names.

Adds the token to requests and the host's prefix to the names of tools, and takes it off the list.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web

from services.gateway.mcp import tools

OWN = {tool.name for tool in tools.OWN}
KEPT = ("content-type", "mcp-session-id", "retry-after")


class Proxy:
    """One proxy; `prefix` is that of the host whose tools are called."""

    def __init__(self, url: str, token: str, prefix: str) -> None:
        self._url = url
        self._token = token
        self._prefix = prefix
        self._http: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Serve; what this gives is the address."""
        application = web.Application()
        application.router.add_route("*", "/mcp", self._pass)
        runner = web.AppRunner(application, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with aiohttp.ClientSession() as self._http:
            port = runner.addresses[0][1]
            yield f"http://127.0.0.1:{port}/mcp"
            await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        assert self._http is not None
        headers = [
            (name, self._named(value) if name.lower() == "mcp-name" else value)
            for name, value in request.headers.items()
            if name.lower() not in ("host", "content-length", "authorization")
        ]
        headers.append(("Authorization", f"Bearer {self._token}"))
        body = self._asked(await request.read())
        async with self._http.request(
            request.method, self._url, headers=headers, data=body
        ) as answer:
            kept = {name: answer.headers[name] for name in KEPT if name in answer.headers}
            out = web.StreamResponse(status=answer.status, headers=kept)
            await out.prepare(request)
            async for line in answer.content:
                await out.write(line.replace(b'"' + self._prefix.encode(), b'"'))
            await out.write_eof()
            return out

    def _named(self, name: str) -> str:
        """Tools alone have such names; ids of tasks have none of their characters."""
        bare = name.strip()
        if bare in OWN or ("_" not in bare and bare != "greet"):
            return name
        return name.replace(bare, f"{self._prefix}{bare}", 1)

    def _asked(self, body: bytes) -> bytes:
        try:
            message: Any = json.loads(body)
            if message["method"] == "tools/call":
                message["params"]["name"] = self._named(message["params"]["name"])
                return json.dumps(message).encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        return body
