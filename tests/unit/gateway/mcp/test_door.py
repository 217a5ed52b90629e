"""`/mcp` through the official SDK's client, in both eras; the test plays router and executor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

import httpx2
import mcp_types as t
import msgspec
import pytest
from mcp import Client, MCPError
from mcp.client import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client

from contracts import facts as kinds
from contracts.facts import Failure, Outcome, TaskCancelled, TaskCreated
from contracts.host import HealthStatus, Host, Stdio, TaskBinding, Tool
from contracts.result import inline
from contracts.wire import Progress
from services.gateway.mcp.asked import TASK_KEY
from services.gateway.mcp.tasks import TASKS
from services.log.port import START
from services.process.ids import new_id
from tests.support import facts
from tests.unit.gateway.world import World

ERAS = ("legacy", "auto")
ECHO = Tool(
    "echo",
    "Say it again.",
    {"type": "object", "properties": {"text": {"type": "string"}}},
    read_only=True,
)
Mode = Literal["legacy", "auto"]


class Handle(t.Result):
    """A task handle, as the extension's clients read it."""

    result_type: Literal["task"]
    taskId: str
    status: str


class Tasks(ClientExtension):
    """A client that takes handles."""

    identifier = TASKS

    def claims(self) -> list[ResultClaim[Any]]:
        async def keep(handle: Handle, context: ClaimContext) -> t.CallToolResult:
            raise AssertionError("handles are kept as they are here")

        return [ResultClaim(result_type="task", model=Handle, resolve=keep)]


class TaskParams(t.RequestParams):
    task_id: str


class GetTask(t.Request[TaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams
    name_param = "taskId"


class CancelTask(t.Request[TaskParams, Literal["tasks/cancel"]]):
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: TaskParams
    name_param = "taskId"


class Detailed(t.Result):
    """What `tasks/get` answers."""

    taskId: str
    status: str
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


@contextlib.asynccontextmanager
async def agent(
    gateway: World,
    token: str = "alice-token",
    mode: Mode = "auto",
    at: str = "/mcp",
    **options: Any,
) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,
        Client(
            streamable_http_client(f"{gateway.url}{at}", http_client=http), mode=mode, **options
        ) as client,
    ):
        yield client


async def register(gateway: World, id_: str = "h1", **fields: Any) -> None:
    spec = Host(
        id=id_,
        name=id_,
        endpoint=Stdio("x"),
        tools=(ECHO, Tool("hidden")),
        callable_tools=("echo",),
        task_types={"t.x": TaskBinding((), "What it does")},
        **fields,
    )
    health = kinds.McpHealth(
        id=new_id(), by="registry-1", host=id_, k=1, status=HealthStatus.HEALTHY
    )
    await gateway.append(
        kinds.McpRegistered(id=new_id(), by="registry-1", host=id_, k=1, spec=spec), health
    )
    await gateway.settled()
    await gateway.site.projection.reached(gateway.site.feed.position, 10)


async def next_fact(gateway: World, kind: type[Any]) -> Any:
    """Wait for the log's first fact of this kind."""
    async with asyncio.timeout(20):
        async for batch in gateway.log.follow((">",), START):
            for record in batch.records:
                if isinstance(record.fact, kind):
                    return record.fact
    raise AssertionError


async def ended(gateway: World, created: TaskCreated, value: Mapping[str, Any]) -> None:
    """End the task as an executor would."""
    result = inline(msgspec.json.encode(value))
    await gateway.append(
        facts.signed(created.user, created.task),
        facts.done(created.user, created.task, result=result, host="h1", attempt=1),
    )


def echoed(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "structured": None, "is_error": False}


@pytest.mark.parametrize("mode", ERAS)
async def test_tools_are_those_of_hosts_and_our_own(gateway: World, mode: Mode) -> None:
    await register(gateway)
    await register(gateway, "bobs", owner="bob")
    async with agent(gateway, mode=mode) as client:
        assert client.server_info is not None
        assert client.server_info.name == "metamcp-orchestrator"
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {
        "submit_task",
        "get_task",
        "cancel_task",
        "list_hosts",
        "list_tasks",
        "why",
        "answer_task",
        "audit_task",
        "read_result",
        "h1__echo",
    }
    assert tools["h1__echo"].input_schema == ECHO.input_schema
    assert tools["h1__echo"].annotations is not None
    assert tools["h1__echo"].annotations.read_only_hint is True


@pytest.mark.parametrize("mode", ERAS)
async def test_a_call_is_a_durable_task(gateway: World, mode: Mode) -> None:
    await register(gateway)
    async with agent(gateway, mode=mode) as client:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}))
        created = await next_fact(gateway, TaskCreated)
        assert (created.user, created.source, created.spec.host) == ("alice", "mcp", "h1")
        wanted = {"tool": "echo", "arguments": {"text": "hi"}}
        assert msgspec.json.decode(created.spec.input) == wanted
        await ended(gateway, created, echoed("hi"))
        answer = await calling
    assert answer.is_error is False
    assert answer.content == [t.TextContent(type="text", text="hi")]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_failed_task_is_an_error_of_the_tool(gateway: World, mode: Mode) -> None:
    await register(gateway)
    async with agent(gateway, mode=mode) as client:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}))
        created = await next_fact(gateway, TaskCreated)
        error = Failure("tool", "no such file")
        await gateway.append(
            facts.done("alice", created.task, Outcome.FAILED, error=error, attempt=1)
        )
        answer = await calling
    assert answer.is_error is True
    assert isinstance(answer.content[0], t.TextContent)
    assert answer.content[0].text == "no such file"


@pytest.mark.parametrize("mode", ERAS)
async def test_progress_comes_through(gateway: World, mode: Mode) -> None:
    await register(gateway)
    heard: asyncio.Queue[tuple[float, float | None, str | None]] = asyncio.Queue()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.put_nowait((progress, total, message))

    async with agent(gateway, mode=mode) as client:
        calling = asyncio.create_task(
            client.call_tool("h1__echo", {"text": "hi"}, progress_callback=hear)
        )
        created = await next_fact(gateway, TaskCreated)
        report = msgspec.json.encode(Progress("alice", created.task, 1, 1.0, 2.0, "half"))
        async with asyncio.timeout(20):
            while heard.empty():
                gateway.site.feed.progress("alice", created.task, report)
                await asyncio.wait((calling,), timeout=0.02)
        assert await heard.get() == (1.0, 2.0, "half")
        await ended(gateway, created, echoed("hi"))
        assert (await calling).is_error is False


async def test_a_task_that_the_caller_named_is_found_again(gateway: World) -> None:
    await register(gateway)
    meta: Any = {TASK_KEY: "mine"}
    async with agent(gateway) as client:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}, meta=meta))
        created = await next_fact(gateway, TaskCreated)
        assert created.task == "mine"
        calling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await calling
    await ended(gateway, created, echoed("after all"))
    async with agent(gateway) as client:
        answer = await client.call_tool("h1__echo", {"text": "hi"}, meta=meta)
        assert answer.content == [t.TextContent(type="text", text="after all")]
        other = await client.call_tool("h1__echo", {"text": "else"}, meta=meta)
        assert other.is_error is True
    head = await gateway.log.head()
    found = [await gateway.log.at(seq) for seq in range(1, head + 1)]
    assert not any(record and isinstance(record.fact, TaskCancelled) for record in found)


async def test_clients_of_the_tasks_extension_get_a_handle(gateway: World) -> None:
    await register(gateway)
    async with agent(gateway, extensions=[Tasks()]) as client:
        handle = await client.session.call_tool("h1__echo", {"text": "hi"}, allow_claimed=True)
        assert isinstance(handle, Handle)
        assert handle.status == "working"
        created = await next_fact(gateway, TaskCreated)
        assert handle.taskId == created.task
    # Another connection, another day.
    async with agent(gateway, extensions=[Tasks()]) as client:
        ask = GetTask(params=TaskParams(task_id=handle.taskId))
        found = await client.session.send_request(ask, Detailed)
        assert (found.status, found.result) == ("working", None)
        await ended(gateway, created, echoed("hi"))
        found = await client.session.send_request(ask, Detailed)
        assert found.status == "completed"
        assert found.result is not None
        assert found.result["content"] == [{"type": "text", "text": "hi"}]


async def test_handles_can_be_cancelled_by_their_owner_only(gateway: World) -> None:
    await register(gateway)
    async with agent(gateway, extensions=[Tasks()]) as client:
        handle = await client.session.call_tool("h1__echo", {"text": "hi"}, allow_claimed=True)
        assert isinstance(handle, Handle)
        async with agent(gateway, "bob-token", extensions=[Tasks()]) as stranger:
            for ask in (GetTask, CancelTask):
                with pytest.raises(MCPError) as refused:
                    await stranger.session.send_request(
                        ask(params=TaskParams(task_id=handle.taskId)), Detailed
                    )
                assert refused.value.code == t.INVALID_PARAMS
        cancel = CancelTask(params=TaskParams(task_id=handle.taskId))
        await client.session.send_request(cancel, t.EmptyResult)
        cancelled = await next_fact(gateway, TaskCancelled)
        assert cancelled.task == handle.taskId
        await gateway.append(facts.done("alice", handle.taskId, Outcome.CANCELLED))
        ask = GetTask(params=TaskParams(task_id=handle.taskId))
        assert (await client.session.send_request(ask, Detailed)).status == "cancelled"


async def test_our_own_tools(gateway: World) -> None:
    await register(gateway)
    async with agent(gateway) as client:
        submitted = await client.call_tool(
            "submit_task", {"type": "t.x", "input": {"a": 1}, "id": "one"}
        )
        assert submitted.structured_content is not None
        assert submitted.structured_content["id"] == "one"
        hosts = await client.call_tool("list_hosts", {"task_type": "t.x"})
        assert hosts.structured_content is not None
        (host,) = hosts.structured_content["result"]
        assert (host["id"], host["status"], host["tools"]) == ("h1", "healthy", ["echo"])
        await client.call_tool("cancel_task", {"task": "one"})
        assert (await next_fact(gateway, TaskCancelled)).task == "one"
        await gateway.append(facts.done("alice", "one", Outcome.CANCELLED))
        ended_ = await client.call_tool("get_task", {"task": "one", "wait_s": 20})
        assert ended_.structured_content is not None
        assert ended_.structured_content["status"] == "cancelled"


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("submit_task", {}),
        ("submit_task", {"type": "no type!"}),
        ("submit_task", {"type": "t.x", "nonsense": 1}),
        ("cancel_task", {"task": "nothing"}),
        ("cancel_task", {"task": 5}),
    ],
)
async def test_what_is_wrong_is_said(gateway: World, tool: str, given: dict[str, Any]) -> None:
    async with agent(gateway) as client:
        answer = await client.call_tool(tool, given)
    assert answer.is_error is True
    assert isinstance(answer.content[0], t.TextContent)
    assert answer.content[0].text


@pytest.mark.parametrize("name", ["bobs__echo", "h1__hidden__", "nothing", "__", "h1__nothing"])
async def test_what_is_not_there_can_not_be_called(gateway: World, name: str) -> None:
    await register(gateway)
    await register(gateway, "bobs", owner="bob")
    async with agent(gateway) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool(name, {})
    assert refused.value.code == t.INVALID_PARAMS


async def test_nobody_enters_without_a_token(gateway: World) -> None:
    async with gateway.http("wrong") as client:
        answer = await client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert answer.status_code == 401
    at = f"{gateway.url}/.well-known/oauth-protected-resource/mcp"
    asked = f'Bearer error="invalid_token", resource_metadata="{at}", scope="mcp:call"'
    assert answer.headers["www-authenticate"] == asked
    assert answer.json()["error"]["reason"] == "unauthorized"


async def test_a_stopping_gateway_leaves_the_task_alone(gateway: World) -> None:
    await register(gateway)
    async with agent(gateway) as client:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}))
        created = await next_fact(gateway, TaskCreated)
        async with asyncio.timeout(20):
            while ("task", "alice", created.task) not in gateway.site.feed._waiters:
                await asyncio.wait((calling,), timeout=0.01)
        gateway.site.door.close()
        gateway.site.feed.release_waiters()
        with pytest.raises(MCPError, match="goes on"):
            await calling
    view = await gateway.site.desk.view("alice", created.task)
    assert view is not None
    assert view.cancel_requested is False
