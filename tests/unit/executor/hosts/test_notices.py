"""A server that does not take a notification holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from contracts.host import StreamableHttp
from tests.support import http_host
from tests.support.adverse_mcp import HELLO
from tests.support.http_host import HttpHost
from tests.unit.executor.sessions import STDIO, Bench, closing

TEXT = {"content": [{"type": "text", "text": "done"}]}
TOOLS = {"tools": [{"name": "odd", "inputSchema": {"type": "object"}}]}


class Deaf:
    """Just enough of MCP to be called; what only tells it something it reads and never answers."""

    def __init__(self, *deaf_to: str) -> None:
        self.deaf_to = deaf_to
        self.told: list[str] = []

    async def reply(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return web.Response(status=405)
        message: dict[str, Any] = await request.json()
        method = message["method"]
        if "id" not in message:
            self.told.append(method)
            if method in self.deaf_to:
                await asyncio.Event().wait()
            return web.Response(status=202)
        if message.get("params", {}).get("arguments", {}).get("hang"):
            await asyncio.Event().wait()
        result = {"initialize": HELLO, "tools/list": TOOLS}.get(method, TEXT)
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        return web.json_response(answer, headers={"Mcp-Session-Id": "s1"})


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, STDIO)
    yield bench
    await closing(bench)


@pytest.fixture
def deaf() -> Deaf:
    return Deaf("notifications/cancelled")


@pytest.fixture
async def host(deaf: Deaf) -> AsyncIterator[HttpHost]:
    async with http_host.serving(deaf.reply) as one:
        yield one


async def test_calls_go_on_while_a_server_does_not_take_that_one_was_cancelled(
    bench: Bench, host: HttpHost, deaf: Deaf
) -> None:
    url = StreamableHttp(f"{host.url}/mcp")
    session = bench.open(endpoint=url, protocol="2025-06-18")
    await session.call(bench.call("odd"))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await session.call(bench.call("odd", hang=True))
    async with asyncio.timeout(30):
        for _ in range(5):
            value = await session.call(bench.call("odd"))
            assert isinstance(value, dict)
            assert value["content"] == TEXT["content"]
    assert deaf.told.count("notifications/cancelled") == 3
