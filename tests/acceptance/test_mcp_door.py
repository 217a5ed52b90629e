"""An agent on the orchestrator's own MCP endpoint, while gateways die under it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from contracts.facts import TaskCreated
from tests.support.system import System, system, until
from tests.unit.gateway.test_mcp_door import Detailed, GetTask, Handle, TaskParams, Tasks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

KEY = "io.metamcp/task"


@contextlib.asynccontextmanager
async def agent(one: System, **options: Any) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {one.running.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
        Client(streamable_http_client(f"{one.url}/mcp", http_client=http), **options) as client,
    ):
        yield client


async def created(one: System) -> list[str]:
    return [r.fact.task for r in await one.facts() if isinstance(r.fact, TaskCreated)]


def kill_gateway(one: System) -> int:
    (pid,) = one.running.kill("gateway-1", signal.SIGKILL)
    return pid


async def back(one: System, pid: int) -> None:
    """Wait until another gateway answers in the place of the one that was killed."""

    async def another() -> bool:
        return one.running.pids.get("gateway-1") not in (None, pid) and await one.alive()

    await until(another)


async def tools(one: System) -> set[str]:
    async with agent(one) as client:
        return {tool.name for tool in (await client.list_tools()).tools}


async def test_calls_outlive_the_gateway_they_were_made_at(tmp_path: Path) -> None:
    async with system(tmp_path, {"one": 2}) as one:

        async def listed() -> bool:
            return "one__work" in await tools(one)

        await until(listed)
        async with agent(one) as client:
            echoed = await client.call_tool("one__echo", {"text": "hi"})
            assert echoed.is_error is False
        work = {"task": "named", "attempt": 1, "ms": 4000}
        meta: Any = {KEY: "named"}

        async def begun() -> bool:
            return "named" in await created(one)

        pid = 0
        # The client ends its whole block when its connection is lost.
        with contextlib.suppress(MCPError, BaseExceptionGroup, httpx2.HTTPError):
            async with agent(one) as client, asyncio.TaskGroup() as group:
                group.create_task(client.call_tool("one__work", work, meta=meta))
                await until(begun)
                pid = kill_gateway(one)
        await back(one, pid)
        async with agent(one) as client:
            answer = await client.call_tool("one__work", work, meta=meta)
        assert answer.is_error is False
        starts = [c for c in one.calls() if c["event"] == "start" and c.get("task") == "named"]
        assert len(starts) == 1, "it is the same task"

        async with agent(one, extensions=[Tasks()]) as client:
            slow = {"task": "handle", "attempt": 1, "ms": 3000}
            handle = await client.session.call_tool("one__work", slow, allow_claimed=True)
        assert isinstance(handle, Handle)
        await back(one, kill_gateway(one))
        async with agent(one, extensions=[Tasks()]) as client:
            ask = GetTask(params=TaskParams(task_id=handle.taskId))

            async def over() -> bool:
                found = await client.session.send_request(ask, Detailed)
                return found.status == "completed"

            await until(over)
