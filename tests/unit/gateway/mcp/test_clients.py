"""What clients of many makes need of `/mcp` besides what the protocol says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp_types import Tool

from contracts.facts import Record, TaskCreated
from contracts.status import fold
from services.bus.bus import Bus
from services.gateway.mcp import tasks, tools
from services.gateway.mcp.asked import TASK_KEY
from services.gateway.settings import Settings
from tests.support import facts
from tests.unit.gateway.mcp.test_door import ERAS, Mode, agent, echoed, ended, next_fact, register
from tests.unit.gateway.world import World, error_of, world

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


async def test_sessions_of_the_older_protocol_get_no_handles(gateway: World) -> None:
    """Some clients declare the extension there as well, and can't read a handle then."""
    await register(gateway)
    who = {"name": "odd", "version": "1"}
    declared = {"extensions": {tasks.TASKS: {}}}
    params = {"protocolVersion": "2025-11-25", "capabilities": declared, "clientInfo": who}
    headers = {"accept": "application/json, text/event-stream"}
    async with gateway.http() as client:

        async def ask(method: str, params: dict[str, Any], **fields: Any) -> httpx.Response:
            body = {"jsonrpc": "2.0", "method": method, "params": params} | fields
            return await client.post("/mcp", json=body, headers=headers)

        begun = await ask("initialize", params, id=1)
        headers["mcp-session-id"] = begun.headers["mcp-session-id"]
        await ask("notifications/initialized", {})
        call = {"name": "h1__echo", "arguments": {"text": "hi"}}
        calling = asyncio.create_task(ask("tools/call", call, id=2))
        await ended(gateway, await next_fact(gateway, TaskCreated), echoed("hi"))
        answer = await calling
    assert '"text":"hi"' in answer.text
    assert '"resultType":"task"' not in answer.text


@pytest.mark.parametrize(
    ("age_s", "poll_ms"), [(-1.0, 250), (0.0, 250), (4.0, 1000), (20.0, 5000), (3600.0, 10_000)]
)
def test_the_longer_a_task_has_taken_the_later_it_is_asked_for(age_s: float, poll_ms: int) -> None:
    created = Record(1, 1000.0, "", facts.created("alice", "t"), b"")
    view = fold([created])
    assert view is not None
    assert tasks.handle(view, 1000.0 + age_s)["pollIntervalMs"] == poll_ms
    assert tasks.detailed(view, None, 1000.0 + age_s)["pollIntervalMs"] == poll_ms


@pytest.mark.parametrize("size", [1, 1000, 200_000, tools.PAGE_BYTES * 2])
def test_a_page_of_tools_is_bounded_by_its_size_and_never_empty(size: int) -> None:
    every = [Tool(name=f"t{n}", description="é" * size, input_schema={}) for n in range(500)]
    page = tools.page(every)
    assert page == every[: len(page)]
    assert page
    written = sum(len(tool.model_dump_json(by_alias=True, exclude_none=True)) for tool in page)
    assert len(page) == 1 or written <= tools.PAGE_BYTES
    assert tools.page([]) == []


async def test_refusals_are_errors_of_json_rpc_as_well(tmp_path: Path, bus: Bus) -> None:
    settings = Settings(port=0, rate_limit_requests=1)
    async with world(tmp_path, bus, settings) as gateway, gateway.http("wrong") as client:
        first, over = [await client.post("/mcp", json=PING) for _ in range(2)]
    for answer, status in ((first, 401), (over, 429)):
        assert answer.status_code == status
        assert error_of(answer).code == answer.json()["error"]["code"] == status
        assert (answer.json()["jsonrpc"], answer.json()["id"]) == ("2.0", None)
    assert "retry-after" in over.headers


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_a_page_of_an_unknown_origin_is_refused(gateway: World, path: str) -> None:
    async with gateway.http() as client:
        foreign = await client.post(path, json=PING, headers={"origin": "http://evil.example"})
        assert error_of(foreign).reason == "forbidden"
        both = {"accept": "application/json, text/event-stream", "origin": gateway.url}
        begun = await client.post(path, json=PING, headers=both)
        assert begun.status_code not in (401, 403, 404)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_call_goes_on_in_the_trace_its_caller_names(gateway: World, mode: Mode) -> None:
    await register(gateway)
    trace = "ab" * 16
    meta: Any = {"traceparent": f"00-{trace}-{'cd' * 8}-01", TASK_KEY: "traced"}
    async with agent(gateway, mode=mode) as client:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}, meta=meta))
        created = await next_fact(gateway, TaskCreated)
        await ended(gateway, created, echoed("hi"))
        await calling
    (first, *_) = await gateway.site.desk.facts("alice", "traced")
    assert first.trace.split("-")[1] == trace
