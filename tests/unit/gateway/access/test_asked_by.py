"""On whose authority a task was asked for: in the log, and wherever a task is shown."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from contracts.facts import TaskCreated
from services.gateway.access.identity import Principal
from services.gateway.intake import Intake
from services.log.port import START
from tests.unit.gateway.access.test_authorisation_mcp import LEGACY, MODERN, agent, result
from tests.unit.gateway.http.test_tokens import issued, issuing
from tests.unit.gateway.mcp.test_door import register
from tests.unit.gateway.scoped import take_scoped_tokens, token
from tests.unit.gateway.world import TASK, World

AGENT = token("alice", "tasks:write", "tasks:read", "mcp:call", by="client:agent")


@pytest.fixture
async def one(gateway: World) -> World:
    take_scoped_tokens(gateway)
    return gateway


async def created(gateway: World, task: str) -> TaskCreated:
    """The fact that has made a task, once it is there."""
    async with asyncio.timeout(20):
        async for batch in gateway.log.follow((">",), START):
            for record in batch.records:
                if isinstance(record.fact, TaskCreated) and record.fact.task == task:
                    return record.fact
    raise AssertionError


async def test_http_says_who_asked_wherever_a_task_is_shown(one: World) -> None:
    async with issuing(one), one.http("admin-token") as admin:
        made = await issued(admin, "alice")
        async with one.http(made["token"]) as client:
            view = (await client.post("/api/tasks", json=TASK | {"id": "t1"})).json()["data"]
            assert view["asked_by"] == f"token:{made['id']}"
            again = (await client.get("/api/tasks/t1")).json()["data"]
            (row,) = (await client.get("/api/tasks")).json()["data"]
            (event,) = (await client.get("/api/tasks/t1/events")).json()["data"]
    shown = {again["asked_by"], row["asked_by"], event["event"]["asked_by"]}
    assert shown == {f"token:{made['id']}"}


async def test_the_installations_own_token_says_nothing(one: World) -> None:
    async with one.http() as client:
        view = (await client.post("/api/tasks", json=TASK | {"id": "t1"})).json()["data"]
    assert "asked_by" not in view
    assert (await created(one, "t1")).roles == ()


async def test_frames_say_who_asked_whether_inputs_are_small_or_big(one: World) -> None:
    async with one.stream(AGENT) as stream:
        await stream.ask("submit", task=TASK | {"id": "small"})
        big = TASK | {"id": "big", "input": {"text": "x" * 60_000}}
        await stream.ask("submit", task=big)
    assert {(await created(one, task)).asked_by for task in ("small", "big")} == {"client:agent"}


async def test_a_ticket_asks_as_the_token_it_was_made_with(one: World) -> None:
    async with one.http(AGENT) as client:
        ticket = (await client.post("/api/auth/ticket")).json()["data"]["ticket"]
    async with one.stream(None, path=f"/api/stream?ticket={ticket}") as stream:
        await stream.ask("submit", task=TASK | {"id": "t1"})
    assert (await created(one, "t1")).asked_by == "client:agent"


@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_agents_calls_say_who_asked(one: World, era: str) -> None:
    await register(one, "echo")
    async with agent(one, AGENT, era) as client:
        made = await client.use("submit_task", TASK | {"id": "submitted"})
        assert made["asked_by"] == "client:agent"
        if era == MODERN:
            call = {"name": "echo__echo", "arguments": {}}
            handle = result(await client.ask("tools/call", call))
            assert (await created(one, handle["taskId"])).asked_by == "client:agent"


class Asked:
    """A request of a publisher, as it comes from NATS."""

    subject, reply = "submit.alice", ""

    def __init__(self, **fields: Any) -> None:
        self.data = msgspec.json.encode(TASK | fields)

    def header(self, name: bytes) -> bytes:
        return b""


async def test_tasks_of_a_publisher_name_the_publisher(one: World) -> None:
    async def nobody(subject: str, data: bytes) -> None:
        raise AssertionError(subject)

    intake = Intake(one.log, one.site.desk, nobody, "1")
    intake.answer(Asked(id="p1"))
    fact = await created(one, "p1")
    assert (fact.asked_by, fact.roles, fact.source) == ("publisher:alice", (), "nats")


async def test_the_roles_one_acts_in_stand_in_the_log(one: World) -> None:
    async with one.http("admin-token") as client:
        await client.post("/api/tasks", json=TASK | {"id": "whole"})
    narrow = token("root", "tasks:write", roles=("admin", "auditor"))
    async with one.http(narrow) as client:
        await client.post("/api/tasks", json=TASK | {"id": "narrow"})
    assert (await created(one, "whole")).roles == ("admin", "auditor")
    assert (await created(one, "narrow")).roles == ()


def test_roles_count_as_far_as_the_token_does() -> None:
    roles = frozenset({"admin", "auditor"})
    whole, narrow = Principal("root", roles), Principal("root", roles, scopes=frozenset())
    assert (whole.powers, whole.operator, whole.auditor) == (roles, True, True)
    assert (narrow.powers, narrow.operator, narrow.auditor) == (frozenset(), False, False)
    assert Principal("root", roles, scopes=frozenset({"admin"})).powers == roles
