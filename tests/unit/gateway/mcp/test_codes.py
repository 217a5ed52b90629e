"""The codes of the protocol: what a header, a capability or a host's own error is answered with."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from mcp import MCPError
from mcp_types import HEADER_MISMATCH, MISSING_REQUIRED_CLIENT_CAPABILITY

from contracts import rpc_error
from contracts.facts import Failure, FailureKind, McpRegistered, Outcome, TaskCreated
from contracts.host import Access, Host, Stdio, Tool
from services.gateway.mcp.tasks import TASKS
from services.process.ids import new_id
from tests.support import facts
from tests.unit.gateway.mcp.test_door import (
    ERAS,
    Detailed,
    GetTask,
    Handle,
    Mode,
    TaskParams,
    Tasks,
    agent,
    next_fact,
    register,
)
from tests.unit.gateway.mcp_requests import HANDLES, plain
from tests.unit.gateway.world import World

REGION: dict[str, Any] = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
}
NEEDED = {"requiredCapabilities": {"sampling": {}}}
MISSING = (MISSING_REQUIRED_CLIENT_CAPABILITY, "sampling is needed", NEEDED)
BROKEN = (-32603, "it broke")


async def placed(gateway: World, **fields: Any) -> None:
    """Register a host one of whose arguments has to stand in a header."""
    spec = Host(id="h1", name="h1", endpoint=Stdio("x"), tools=(Tool("go", "", REGION),), **fields)
    await gateway.append(
        McpRegistered(id=new_id(), by="registry-1", host="h1", k=1, spec=spec),
    )
    await gateway.settled()


async def went(gateway: World, region: str, headers: dict[str, str]) -> httpx.Response:
    params = {"name": "h1__go", "arguments": {"region": region}, "_meta": HANDLES}
    asked = plain("tools/call", params, modern=True)
    async with gateway.http() as client:
        return await client.post("/mcp", headers=asked.headers | headers, content=asked.content)


@pytest.mark.parametrize(
    ("header", "right"),
    [
        ("west", True),
        ("=?base64?d2VzdA==?=", True),
        ("east", False),
        ("=?base64?d2VzdA?=", False),
        ("=?base64?d2V!dA==?=", False),
        (None, False),
    ],
)
async def test_arguments_in_headers_are_those_of_the_body(
    gateway: World, header: str | None, right: bool
) -> None:
    await placed(gateway)
    answer = await went(gateway, "west", {} if header is None else {"Mcp-Param-Region": header})
    if right:
        assert answer.json()["result"]["resultType"] == "task"
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, HEADER_MISMATCH)


async def test_nothing_is_told_of_the_headers_of_a_tool_that_is_not_there(gateway: World) -> None:
    await placed(gateway, access=Access(users=("bob",)))
    answer = await went(gateway, "west", {"Mcp-Param-Region": "east"})
    assert "there is no tool" in answer.json()["error"]["message"]


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
async def test_tasks_are_for_those_who_know_of_them(
    gateway: World, method: str, mode: Mode
) -> None:
    class Ask(GetTask):
        pass

    async with agent(gateway, mode=mode) as client:
        ask = Ask.model_construct(method=method, params=TaskParams(task_id="x"))
        with pytest.raises(MCPError) as refused:
            await client.session.send_request(ask, Detailed)
    wanted = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    found = refused.value
    assert (found.code, found.data) == (MISSING_REQUIRED_CLIENT_CAPABILITY, wanted)


@pytest.mark.parametrize("named", ["t1", "t2", None])
async def test_a_header_names_the_task_that_the_body_names(
    gateway: World, named: str | None
) -> None:
    asked = plain("tasks/get", {"taskId": "t1", "_meta": HANDLES}, modern=True)
    headers = asked.headers if named is None else asked.headers | {"Mcp-Name": named}
    async with gateway.http() as client:
        answer = await client.post("/mcp", headers=headers, content=asked.content)
    error = answer.json()["error"]
    if named == "t2":
        assert (answer.status_code, error["code"]) == (400, HEADER_MISMATCH)
    else:
        assert "there is no task" in error["message"]


async def failed(gateway: World, code: int, message: str, data: Any = None) -> TaskCreated:
    created: TaskCreated = await next_fact(gateway, TaskCreated)
    error = Failure(FailureKind.PROTOCOL, rpc_error.told(code, message, data))
    await gateway.append(facts.done("alice", created.task, Outcome.FAILED, error=error, attempt=1))
    return created


@pytest.mark.parametrize("mode", ERAS)
async def test_what_a_host_needs_of_a_client_is_passed_on(gateway: World, mode: Mode) -> None:
    await register(gateway)
    async with agent(gateway, mode=mode) as client:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}))
        await failed(gateway, *MISSING)
        with pytest.raises(MCPError) as refused:
            await calling
    assert (refused.value.code, refused.value.message, refused.value.data) == MISSING


async def test_other_errors_of_a_host_are_for_the_agent_to_read(gateway: World) -> None:
    await register(gateway)
    async with agent(gateway) as client:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}))
        await failed(gateway, *BROKEN)
        assert (await calling).is_error is True


@pytest.mark.parametrize("error", [MISSING, BROKEN])
async def test_a_task_whose_host_answered_an_error_of_the_protocol_has_failed(
    gateway: World, error: tuple[Any, ...]
) -> None:
    await register(gateway)
    async with agent(gateway, extensions=[Tasks()]) as client:
        handle = await client.session.call_tool("h1__echo", {"text": "hi"}, allow_claimed=True)
        assert isinstance(handle, Handle)
        created = await failed(gateway, *error)
        ask = GetTask(params=TaskParams(task_id=created.task))
        found = await client.session.send_request(ask, Detailed)
    assert (found.status, found.result) == ("failed", None)
    wanted = dict(zip(("code", "message", "data"), error, strict=False))
    assert json.loads(json.dumps(found.error)) == wanted
