"""The reference server's long work and its log messages, over stdio and HTTP: as to a client of its
own, in both eras of ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import mcp_types as t
import pytest
import pytest_asyncio
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.acceptance.test_faithful import ERAS, everything, through
from tests.support.system import System, system, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
HOST = """
[hosts.every]
name = "every"
sessions = "shared"
{endpoint}
"""
LONG, LOGGING = "trigger-long-running-operation", "toggle-simulated-logging"
SAID = re.compile(r"\w+[- ]level[- ]message( - SessionId \S+)?")


class Everything(NamedTuple):
    """The server behind an orchestrator, and where a client of its own finds it."""

    one: System
    server: StdioServerParameters
    url: str

    @contextlib.asynccontextmanager
    async def directly(self, **options: Any) -> AsyncIterator[Client]:
        line = streamable_http_client(self.url) if self.url else stdio_client(self.server)
        async with Client(line, mode="legacy", **options) as client:
            yield client


@contextlib.asynccontextmanager
async def over_http(server: StdioServerParameters) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = await asyncio.create_subprocess_exec(
        *(server.command, server.args[0], "streamableHttp"),
        env={**(server.env or {}), "PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert running.stderr is not None
    try:
        async with asyncio.timeout(30):
            while str(port).encode() not in await running.stderr.readline():
                assert running.returncode is None
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        running.kill()
        await running.communicate()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["stdio", "http"])
async def every(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Everything]:
    server, folder, url = everything(), tmp_path_factory.mktemp("every"), ""
    async with contextlib.AsyncExitStack() as stack:
        lines = [
            'endpoint.kind = "stdio"',
            f"endpoint.command = {json.dumps(server.command)}",
            f"endpoint.args = {json.dumps(server.args)}",
        ]
        if request.param == "http":
            url = await stack.enter_async_context(over_http(server))
            lines = ['endpoint.kind = "http"', f'endpoint.url = "{url}"']
        extra = folder / "extra.toml"
        extra.write_text(HOST.format(endpoint="\n".join(lines)))
        one = await stack.enter_async_context(system(folder, {"one": 1}, extra=extra, real=False))

        async def healthy() -> bool:
            hosts = (await one.get("/api/mcps")).json()["data"]
            return [host["health"]["status"] for host in hosts] == ["healthy"] * 2

        await until(healthy)
        yield Everything(one, server, url)


async def reported(client: Client, tool: str, **given: Any) -> tuple[list[Any], Any]:
    """The progress of a call, and its answer."""
    heard = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    answer = await client.session.call_tool(tool, given, progress_callback=hear)
    return heard, answer.content


@pytest.mark.parametrize("mode", ERAS)
async def test_long_work_reports_all_that_it_says(every: Everything, mode: Any) -> None:
    given = {"duration": 1.2, "steps": 4}
    async with every.directly() as direct:
        theirs = await reported(direct, LONG, **given)
    async with through(every.one, mode) as client:
        ours = await reported(client, f"every__{LONG}", **given)
    assert ours == theirs
    assert len(theirs[0]) == 4


@pytest.mark.parametrize("mode", ERAS)
async def test_its_log_messages_are_heard(every: Everything, mode: Any) -> None:
    told: list[t.LoggingMessageNotificationParams] = []
    meta: Any = {t.LOG_LEVEL_META_KEY: "info"} if mode == "auto" else None

    async def hear(params: t.LoggingMessageNotificationParams) -> None:
        told.append(params)

    async with through(every.one, mode, logging_callback=hear) as client:
        if mode == "legacy":
            level = t.SetLevelRequest(params=t.SetLevelRequestParams(level="info"))
            await client.session.send_request(level, t.EmptyResult)
        await client.session.call_tool(f"every__{LOGGING}", {}, meta=meta)
        # It speaks every 5 s, whatever is called, and one in eight is below `info`.
        while not told:
            given = {"duration": 5.5, "steps": 1}
            await client.session.call_tool(f"every__{LONG}", given, meta=meta)
        await client.session.call_tool(f"every__{LOGGING}", {}, meta=meta)
    assert all(SAID.fullmatch(params.data) for params in told)
    assert "debug" not in {params.level for params in told}
