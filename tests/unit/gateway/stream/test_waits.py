"""Whoever follows a task, or looks at it, is told what it waits for; the test plays the router."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.facts import FailureKind, McpHealth, McpRegistered
from contracts.host import Access, HealthStatus, Host, Limits, Stdio
from services.process.ids import new_id
from tests.support import facts
from tests.unit.gateway.mcp.test_door import ECHO, ERAS, Mode, agent, ended, next_fact
from tests.unit.gateway.world import World

REASON = "not started: Error: BRAVE_API_KEY is required"
SICK = f"host h1 is unhealthy: {REASON}"
MAY = "May tool x of host h1 be called?"
CALL = {"type": "mcp.call", "host": "h1", "input": {"tool": "echo", "arguments": {}}}


async def register(gateway: World, *, sick: bool = True, **fields: Any) -> None:
    spec = Host(id="h1", name="h1", endpoint=Stdio("x"), **fields)
    fact = McpRegistered(id=new_id(), by="registry-1", host="h1", k=1, spec=spec)
    await gateway.append(fact)
    await health(gateway, HealthStatus.UNHEALTHY if sick else HealthStatus.HEALTHY, 1)


async def health(gateway: World, status: HealthStatus, k: int) -> None:
    reason = REASON if status is HealthStatus.UNHEALTHY else ""
    fact = McpHealth(id=new_id(), by="registry-1", host="h1", k=k, status=status, reason=reason)
    await gateway.append(fact)
    await gateway.settled()
    await gateway.site.projection.reached(gateway.site.feed.position, 10)


async def test_followers_hear_at_once_and_when_it_changes(gateway: World) -> None:
    await register(gateway, sick=False)
    async with gateway.http() as client, gateway.stream() as stream:
        task = (await client.post("/api/tasks", json=CALL)).json()["data"]["id"]
        await stream.follow(to="task", task=task, after="start")
        await health(gateway, HealthStatus.UNHEALTHY, 2)
        frame = await stream.until(op="progress")
        assert (frame["attempt"], frame["message"]) == (0, f"waiting: {SICK}")
        await gateway.append(facts.routed("alice", task))
        await gateway.append(facts.failed("alice", task, kind=FailureKind.UNREACHABLE))
        again = await stream.until(op="progress")
        assert again["message"] == f"waiting: {SICK}"


async def test_followers_hear_that_a_person_has_to_answer(gateway: World) -> None:
    await register(gateway)
    async with gateway.http() as client, gateway.stream() as stream:
        task = (await client.post("/api/tasks", json=CALL)).json()["data"]["id"]
        await stream.follow(to="task", task=task, after="start")
        await gateway.append(facts.asked("alice", task))
        frame = await stream.until(op="progress", message="waiting: an answer to: " + MAY)
        assert frame["attempt"] == 0
        await gateway.append(facts.answered("alice", task))
        await stream.until(op="progress", message=f"waiting: {SICK}")


async def test_an_answer_about_the_task_says_it(gateway: World) -> None:
    await register(gateway)
    async with gateway.http() as client:
        made = (await client.post("/api/tasks?wait=0.01", json=CALL)).json()["data"]
        assert made["waiting"] == SICK
        path = f"/api/tasks/{made['id']}"
        assert (await client.get(path)).json()["data"]["waiting"] == SICK
        await gateway.append(facts.routed("alice", made["id"]))
        assert "waiting" not in (await client.get(path)).json()["data"]


async def test_a_host_at_its_limit_is_said_to_be(gateway: World) -> None:
    await register(gateway, sick=False, limits=Limits(max_concurrency=1))
    async with gateway.http() as client:
        first = (await client.post("/api/tasks", json=CALL)).json()["data"]["id"]
        await gateway.append(facts.routed("alice", first), facts.signed("alice", first))
        await gateway.settled()
        made = (await client.post("/api/tasks?wait=0.01", json=CALL)).json()["data"]
        assert made["waiting"] == "every host for it is at its limit: h1 (1 at once)"


async def test_a_host_that_is_for_others_is_not_told_of(gateway: World) -> None:
    await register(gateway, access=Access(roles=("admin",)))
    async with gateway.http() as client:
        made = (await client.post("/api/tasks?wait=0.01", json=CALL)).json()["data"]
        assert made["waiting"] == "host h1 is not registered"


@pytest.mark.parametrize("mode", ERAS)
async def test_an_agent_is_told_as_progress(gateway: World, mode: Mode) -> None:
    await register(gateway, tools=(ECHO,))
    heard: asyncio.Queue[tuple[float, str | None]] = asyncio.Queue()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.put_nowait((progress, message))

    async with agent(gateway, mode=mode) as client:
        calling = asyncio.create_task(
            client.call_tool("h1__echo", {"text": "hi"}, progress_callback=hear)
        )
        created = await next_fact(gateway, facts.TaskCreated)
        async with asyncio.timeout(20):
            progress, message = await heard.get()
        assert 0 < progress < 1
        assert message == f"waiting: {SICK}"
        told = await client.call_tool("get_task", {"task": created.task})
        assert SICK in str(told.content)
        await ended(gateway, created, {"content": [], "structured": None, "is_error": False})
        await calling
