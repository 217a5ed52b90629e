"""What an agent has started is not lost: its client may go away, wait no longer, or call again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import mcp_types as t
import pytest
from mcp import Client

from contracts.facts import McpHealth, McpRegistered, TaskCancelled, TaskCreated
from contracts.host import HealthStatus, Host, Stdio, Tool
from services.gateway.mcp import alive, calls
from services.gateway.mcp.asked import ON_LEAVE_KEY, PATIENCE_KEY
from services.gateway.settings import Settings
from services.log.port import START
from services.process.ids import new_id
from tests.unit.gateway.mcp.test_door import (
    ERAS,
    Handle,
    Mode,
    Tasks,
    agent,
    echoed,
    ended,
    next_fact,
    register,
)
from tests.unit.gateway.world import World

SUM: dict[str, Any] = {
    "type": "object",
    "required": ["sum"],
    "properties": {"sum": {"$ref": "#/$defs/whole"}},
    "$defs": {"whole": {"type": "integer"}},
}
ADDING = Tool("add", "", output_schema=SUM)
AT_ONCE: Any = {PATIENCE_KEY: 0}


async def adding(gateway: World, **fields: Any) -> None:
    """Register a host whose tool has an output schema, and may do harm when called twice."""
    spec = Host(id="h1", name="h1", endpoint=Stdio("x"), tools=(ADDING,), **fields)
    await gateway.append(
        McpRegistered(id=new_id(), by="registry-1", host="h1", k=1, spec=spec),
        McpHealth(id=new_id(), by="registry-1", host="h1", k=1, status=HealthStatus.HEALTHY),
    )
    await gateway.settled()


async def created(gateway: World, count: int) -> list[TaskCreated]:
    """The tasks that there are, once there are so many."""
    found: list[TaskCreated] = []
    async with asyncio.timeout(20):
        async for batch in gateway.log.follow((">",), START):
            found += [r.fact for r in batch.records if isinstance(r.fact, TaskCreated)]
            if len(found) >= count:
                break
    return found


async def waits(gateway: World, task: str, count: int) -> None:
    """Wait until so many calls wait for this task."""
    never, key = asyncio.Event(), ("task", "alice", task)
    async with asyncio.timeout(20):
        while len(gateway.site.feed._waiters.get(key, ())) != count:
            waiting = asyncio.ensure_future(never.wait())
            await asyncio.wait((waiting,), timeout=0.01)
            waiting.cancel()


@contextlib.asynccontextmanager
async def left(
    gateway: World, client: Client, tool: str = "h1__echo", **options: Any
) -> AsyncIterator[TaskCreated]:
    """The task of a call whose client has stopped waiting."""
    calling = asyncio.create_task(client.call_tool(tool, {"text": "hi"}, **options))
    task = await next_fact(gateway, TaskCreated)
    await gateway.settled()
    calling.cancel()
    yield task
    with contextlib.suppress(asyncio.CancelledError):
        await calling


def text_of(answer: t.CallToolResult) -> str:
    assert isinstance(answer.content[0], t.TextContent)
    return answer.content[0].text


@pytest.mark.parametrize("mode", ERAS)
async def test_a_task_goes_on_without_its_client_and_the_same_call_finds_it(
    gateway: World, mode: Mode
) -> None:
    await register(gateway)
    async with agent(gateway, mode=mode) as client:
        async with left(gateway, client) as task:
            await waits(gateway, task.task, 0)
        assert not gateway.site.door._leaving._cancelling
        await ended(gateway, task, echoed("after all"))
        await gateway.settled()
        assert text_of(await client.call_tool("h1__echo", {"text": "hi"})) == "after all"
        # That outcome was given: the next one is another call.
        await client.call_tool("h1__echo", {"text": "hi"}, meta=AT_ONCE)
    one, two = await created(gateway, 2)
    assert one.task == task.task != two.task
    view = await gateway.site.desk.view("alice", task.task)
    assert view is not None
    assert view.cancel_requested is False


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("said", ["by the call", "by the host"])
async def test_a_task_ends_with_its_client_where_that_is_wanted(
    gateway: World, mode: Mode, said: str
) -> None:
    await register(gateway, **({"on_leave": "cancel"} if said == "by the host" else {}))
    meta: Any = {ON_LEAVE_KEY: "cancel"} if said == "by the call" else None
    async with agent(gateway, mode=mode) as client, left(gateway, client, meta=meta) as task:
        assert (await next_fact(gateway, TaskCancelled)).task == task.task
    assert task.spec.on_leave == (None if meta is None else "cancel")


async def test_the_last_one_to_leave_ends_a_task_that_several_wait_for(gateway: World) -> None:
    await register(gateway, on_leave="cancel")
    async with agent(gateway) as client, agent(gateway) as other:
        staying = asyncio.create_task(other.call_tool("h1__echo", {"text": "hi"}))
        leaving = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}))
        task = await next_fact(gateway, TaskCreated)
        await waits(gateway, task.task, 2)
        leaving.cancel()
        await waits(gateway, task.task, 1)
        assert not gateway.site.door._leaving._cancelling
        view = await gateway.site.desk.view("alice", task.task)
        assert view is not None
        assert view.cancel_requested is False
        await ended(gateway, task, echoed("both"))
        assert text_of(await staying) == "both"
        with contextlib.suppress(asyncio.CancelledError):
            await leaving


async def test_a_submitted_task_ends_with_who_waits_for_it_where_that_is_wanted(
    gateway: World,
) -> None:
    given = {"type": "t.x", "wait_s": 60, "on_leave": "cancel"}
    async with agent(gateway) as client:
        calling = asyncio.create_task(client.call_tool("submit_task", given))
        task = await next_fact(gateway, TaskCreated)
        calling.cancel()
        assert (await next_fact(gateway, TaskCancelled)).task == task.task
        with contextlib.suppress(asyncio.CancelledError):
            await calling


@pytest.mark.parametrize("mode", ERAS)
async def test_a_call_that_takes_longer_than_its_client_waits_is_answered_by_its_task(
    gateway: World, mode: Mode
) -> None:
    await adding(gateway)
    async with agent(gateway, mode=mode) as client:
        # Now the client holds answers against the tool's output schema.
        await client.list_tools()
        answer = await client.call_tool("h1__add", {}, meta=AT_ONCE)
        (task,) = await created(gateway, 1)
        assert answer.is_error is False
        assert answer.structured_content is not None
        assert answer.structured_content["task"] == task.task
        assert answer.structured_content["status"] == "pending"
        assert f"get_task with task {task.task} and wait_s" in text_of(answer)
        value = {"content": [], "structured": {"sum": 3}, "is_error": False}
        await ended(gateway, task, value)
        found = await client.call_tool("get_task", {"task": task.task, "wait_s": 20})
        assert found.structured_content is not None
        assert found.structured_content["status"] == "succeeded"


def waiting(gateway: World, **settings: float) -> None:
    """Let calls wait so long."""
    calls_ = gateway.site.door._calls
    calls_._parts = calls_._parts._replace(settings=Settings(**settings))  # type: ignore[arg-type]


async def test_how_long_a_call_waits_is_a_setting(gateway: World) -> None:
    await register(gateway)
    waiting(gateway, mcp_patience_s=0.01)
    async with agent(gateway) as client:
        answer = await client.call_tool("h1__echo", {"text": "hi"})
    assert answer.structured_content is not None
    assert answer.structured_content["status"] == "pending"


@pytest.mark.parametrize("meta", [{PATIENCE_KEY: "long"}, {ON_LEAVE_KEY: "stay"}])
async def test_wishes_that_make_no_sense_are_refused(gateway: World, meta: Any) -> None:
    await register(gateway)
    async with agent(gateway) as client:
        answer = await client.call_tool("h1__echo", {"text": "hi"}, meta=meta)
    assert answer.is_error is True
    assert "io.metamcp/" in text_of(answer)


async def test_the_same_call_is_the_same_task_where_that_is_harmless(gateway: World) -> None:
    await register(gateway)
    async with agent(gateway) as client, agent(gateway, "bob-token") as bob:
        ids = []
        stays: Any = AT_ONCE | {ON_LEAVE_KEY: "keep"}
        ways = ((client, "a", AT_ONCE),) * 2
        ways += ((client, "b", AT_ONCE), (bob, "a", AT_ONCE), (client, "a", stays))
        for one, text, meta in ways:
            answer = await one.call_tool("h1__echo", {"text": text}, meta=meta)
            ids.append((answer.structured_content or {})["task"])
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


async def test_the_same_call_of_a_tool_that_may_do_harm_is_another_task(gateway: World) -> None:
    await adding(gateway)
    async with agent(gateway) as client:
        for _ in range(2):
            await client.call_tool("h1__add", {}, meta=AT_ONCE)
    one, two = await created(gateway, 2)
    assert one.task != two.task


async def test_what_somebody_has_cancelled_is_not_what_the_same_call_means(gateway: World) -> None:
    await register(gateway)
    async with agent(gateway) as client:
        await client.call_tool("h1__echo", {"text": "hi"}, meta=AT_ONCE)
        (task,) = await created(gateway, 1)
        await client.call_tool("cancel_task", {"task": task.task})
        await client.call_tool("h1__echo", {"text": "hi"}, meta=AT_ONCE)
    assert len(await created(gateway, 2)) == 2


async def test_an_outcome_that_its_client_has_not_heard_is_there_for_the_same_call(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the older era a call goes on when its connection is closed; nobody hears its answer."""
    await register(gateway)
    opened, gone = gateway.site.door._opened, asyncio.Event()
    serve = opened.serve

    async def watched(who: Any, scope: Any, receive: Any, send: Any) -> None:
        async def heard() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                gone.set()
            return message

        await serve(who, scope, heard, send)

    async with agent(gateway, mode="legacy") as client:
        headers = {"Authorization": "Bearer alice-token"}
        session = next(iter(gateway.site.door._manager._server_instances))
        params = {"name": "h1__echo", "arguments": {"text": "hi"}}
        body = {"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": params}
        headers |= {"Mcp-Session-Id": session, "Accept": "application/json, text/event-stream"}
        monkeypatch.setattr(opened, "serve", watched)
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False) as http,
            http.stream("POST", f"{gateway.url}/mcp", json=body) as answer,
        ):
            assert answer.status_code == 200
            task = await next_fact(gateway, TaskCreated)
        async with asyncio.timeout(20):
            await gone.wait()
        await ended(gateway, task, echoed("unheard"))
        await waits(gateway, task.task, 0)
        assert text_of(await client.call_tool("h1__echo", {"text": "hi"})) == "unheard"
    assert len(await created(gateway, 1)) == 1


async def test_a_quick_call_is_answered_and_no_handle(gateway: World) -> None:
    waiting(gateway, mcp_at_once_s=30.0)
    await register(gateway)
    async with agent(gateway, extensions=[Tasks()]) as client:
        calling = asyncio.create_task(
            client.session.call_tool("h1__echo", {"text": "hi"}, allow_claimed=True)
        )
        await ended(gateway, await next_fact(gateway, TaskCreated), echoed("hi"))
        answer = await calling
        assert isinstance(answer, t.CallToolResult)
        assert text_of(answer) == "hi"
        waiting(gateway, mcp_at_once_s=0.0)
        late = await client.session.call_tool("h1__echo", {"text": "hi"}, allow_claimed=True)
        assert isinstance(late, Handle)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_call_that_says_nothing_gives_a_sign_of_life(
    gateway: World, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "ALIVE_S", 0.02)
    await register(gateway)
    heard: asyncio.Queue[tuple[float, str | None]] = asyncio.Queue()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.put_nowait((progress, message))

    async with agent(gateway, mode=mode) as client:
        calling = asyncio.create_task(
            client.call_tool("h1__echo", {"text": "hi"}, progress_callback=hear)
        )
        task = await next_fact(gateway, TaskCreated)
        async with asyncio.timeout(20):
            (one, text), (two, _) = await heard.get(), await heard.get()
        assert one < two
        assert text == f"task {task.task} goes on"
        await ended(gateway, task, echoed("hi"))
        assert (await calling).is_error is False


async def test_who_waits_for_a_task_hears_a_sign_of_life(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "ALIVE_S", 0.02)
    heard: asyncio.Queue[float] = asyncio.Queue()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.put_nowait(progress)

    async with agent(gateway) as client:
        await client.call_tool("submit_task", {"type": "t.x", "id": "one"})
        asking = asyncio.create_task(
            client.call_tool("get_task", {"task": "one", "wait_s": 60}, progress_callback=hear)
        )
        async with asyncio.timeout(20):
            assert await heard.get() < await heard.get()
        await ended(gateway, (await created(gateway, 1))[0], {})
        assert (await asking).is_error is False


async def test_a_user_has_so_many_calls_under_way(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MOST_UNDER_WAY", 1)
    await register(gateway)
    async with agent(gateway) as client, agent(gateway, "bob-token") as bob:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}))
        task = await next_fact(gateway, TaskCreated)
        refused = await client.call_tool("h1__echo", {"text": "more"})
        assert refused.is_error is True
        assert "calls under way" in text_of(refused)
        assert not (await bob.call_tool("h1__echo", {"text": "more"}, meta=AT_ONCE)).is_error
        await ended(gateway, task, echoed("hi"))
        await calling
        assert not (await client.call_tool("h1__echo", {"text": "more"}, meta=AT_ONCE)).is_error
