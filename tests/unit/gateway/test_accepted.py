"""What was accepted is said by its id at every door, also while the log can't be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.facts import Record, TaskCreated
from contracts.wire import Accepted
from services.bus.bus import Bus
from services.gateway.intake import Intake
from services.log.memory import MemoryLog
from services.log.port import LogUnavailable
from tests.support import facts
from tests.unit.gateway.mcp.test_door import Handle, Tasks, agent, ended, next_fact, register
from tests.unit.gateway.world import TASK, World, assert_is, world


class Blind(MemoryLog):
    """A log that takes facts, and gives none of a task back while it is `blind`."""

    blind = False

    async def read(
        self,
        filters: Sequence[str],
        limit: int = 1000,
        until: int | None = None,
        *,
        reach: int = 0,
    ) -> list[Record]:
        """See `Log.read`."""
        if self.blind:
            raise LogUnavailable("the log can't be read")
        return await super().read(filters, limit, until)


@pytest.fixture
async def blind(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    """A gateway over such a log, with a host."""
    log = Blind()
    async with world(tmp_path, bus, log=log) as one:
        await register(one)
        log.blind = True
        yield one


async def tasks(one: World) -> list[str]:
    """The tasks that were made, by the log itself."""
    found = [await one.log.at(seq) for seq in range(1, await one.log.head() + 1)]
    return [r.fact.task for r in found if r and isinstance(r.fact, TaskCreated)]


async def test_a_task_is_answered_from_what_was_appended(blind: World) -> None:
    async with blind.http() as client:
        answer = await client.post("/api/tasks", json=TASK)
        told = answer.json()["data"]
        assert (answer.status_code, await tasks(blind)) == (201, [told["id"]])
        blind.log.blind = False  # type: ignore[attr-defined]
        read = (await client.get(f"/api/tasks/{told['id']}")).json()["data"]
    assert_is(read, told)


async def test_a_task_sent_again_is_answered_too(blind: World) -> None:
    async with blind.http() as client:
        first = await client.post("/api/tasks", json=TASK | {"id": "mine"})
        again = await client.post("/api/tasks", json=TASK | {"id": "mine"})
        other = await client.post("/api/tasks", json=TASK | {"id": "mine", "priority": "low"})
    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 409]
    assert again.json()["data"]["created_seq"] == first.json()["data"]["created_seq"]
    assert await tasks(blind) == ["mine"]


@pytest.mark.parametrize("task", [None, "mine"])
async def test_who_waits_learns_the_id_at_least(blind: World, task: str | None) -> None:
    named = {} if task is None else {"id": task}
    async with blind.http() as client:
        asked = asyncio.create_task(client.post("/api/tasks?wait=60", json=TASK | named))
        created = await next_fact(blind, TaskCreated)
        await ended(blind, created, {})
        answer = await asked
    assert (answer.status_code, answer.json()["data"]["id"]) == (201, created.task)
    assert await tasks(blind) == [created.task]


async def test_a_task_sent_again_is_shown_as_it_is_now(blind: World) -> None:
    blind.log.blind = False  # type: ignore[attr-defined]
    async with blind.http() as client:
        await client.post("/api/tasks", json=TASK | {"id": "mine"})
        await blind.append(facts.done("alice", "mine"))
        for path in ("/api/tasks", "/api/tasks?wait=60"):
            again = await client.post(path, json=TASK | {"id": "mine"})
            assert (again.status_code, again.json()["data"]["status"]) == (200, "succeeded")


async def test_an_agent_learns_the_id_of_what_it_has_submitted(blind: World) -> None:
    async with agent(blind) as client:
        for wait_s in (0, 0.01):
            given = {"type": "t.x", "wait_s": wait_s}
            answer = await client.call_tool("submit_task", given)
            assert answer.is_error is False
            assert answer.structured_content is not None
            assert answer.structured_content["id"] == (await tasks(blind))[-1]


async def test_an_agent_gets_the_handle_of_what_it_has_called(blind: World) -> None:
    async with agent(blind, extensions=[Tasks()]) as client:
        handle = await client.session.call_tool("h1__echo", {"text": "hi"}, allow_claimed=True)
    assert isinstance(handle, Handle)
    assert [handle.taskId] == await tasks(blind)


async def test_an_agent_whose_answer_can_not_be_read_is_told_where_it_is(blind: World) -> None:
    async with agent(blind) as client:
        calling = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}))
        created = await next_fact(blind, TaskCreated)
        await ended(blind, created, {})
        answer: Any = await calling
    assert answer.is_error is True
    assert created.task in answer.content[0].text
    assert "get_task" in answer.content[0].text


async def test_websocket_and_nats_need_no_reading(blind: World) -> None:
    async with blind.stream() as one:
        ack = await one.ask("submit", task=TASK | {"id": "a"})
        again = await one.ask("submit", task=TASK | {"id": "a"})
    assert (ack["task"], ack["seq"]) == (again["task"], again["seq"])
    told: asyncio.Queue[bytes] = asyncio.Queue()

    async def publish(subject: str, payload: bytes) -> None:
        told.put_nowait(payload)

    class Asked:
        subject, reply = "submit.alice", "inbox"
        data = msgspec.json.encode(TASK | {"id": "b"})

        def header(self, name: bytes) -> bytes:
            return b""

    intake = Intake(blind.log, blind.site.desk, publish, "e")
    for duplicate in (False, True):
        intake.answer(Asked())
        async with asyncio.timeout(30):
            answer = msgspec.json.decode(await told.get(), type=Accepted)
        assert (answer.task, answer.duplicate) == ("b", duplicate)
    assert await tasks(blind) == ["a", "b"]
