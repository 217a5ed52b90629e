"""Handles of tasks that ask, and who is told of their status without asking for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import mcp_types as t
import pytest
from mcp import Client, MCPError

from contracts.asks import TaskAnswered
from contracts.facts import Outcome
from contracts.result import inline
from services.gateway.mcp.tasks import TASKS
from tests.support import facts
from tests.unit.gateway.mcp.test_asking import CITY, WHERE, Person, answers
from tests.unit.gateway.mcp.test_door import Detailed, GetTask, TaskParams, Tasks, agent, next_fact
from tests.unit.gateway.mcp_requests import ACCEPT, META, MODERN
from tests.unit.gateway.world import World

BOTH = {"schema": {"properties": {"from": CITY, "to": CITY}}, "keys": ("from", "to")}
ROME = {"action": "accept", "content": {"city": "Rome"}}


class UpdateParams(TaskParams):
    input_responses: dict[str, Any]


class UpdateTask(t.Request[UpdateParams, Literal["tasks/update"]]):
    method: Literal["tasks/update"] = "tasks/update"
    params: UpdateParams
    name_param = "taskId"


class Asking(Detailed):
    """What `tasks/get` answers of a task that asks."""

    statusMessage: str = ""
    inputRequests: dict[str, Any] | None = None


def handling(gateway: World, token: str = "alice-token", **options: Any) -> Any:
    return agent(gateway, token, extensions=[Tasks()], elicitation_callback=Person(), **options)


async def got(client: Client, task: str) -> Asking:
    return await client.session.send_request(GetTask(params=TaskParams(task_id=task)), Asking)


async def update(client: Client, task: str, **responses: Any) -> None:
    named = {key.removeprefix("_").replace("_", "-"): said for key, said in responses.items()}
    params = UpdateParams(task_id=task, input_responses=named)
    await client.session.send_request(UpdateTask(params=params), t.EmptyResult)


@pytest.fixture
async def one(gateway: World) -> World:
    await gateway.append(facts.created("alice", "t1"))
    return gateway


async def asks(gateway: World, q: int = 1, **fields: Any) -> None:
    await gateway.append(facts.asked("alice", "t1", q, **(WHERE | fields)))


async def test_a_task_that_asks_says_so_and_is_answered_by_an_update(one: World) -> None:
    await asks(one)
    async with handling(one) as client:
        found = await got(client, "t1")
        assert found.status == "input_required"
        assert found.inputRequests is not None
        (key, request) = next(iter(found.inputRequests.items()))
        assert (key, request["method"]) == ("1-place", "elicitation/create")
        assert request["params"]["requestedSchema"] == CITY
        await update(client, "t1", _1_place=ROME, _2_place=ROME)
        assert (await next_fact(one, TaskAnswered)).content == {"city": "Rome"}
        assert (await got(client, "t1")).status == "working"
        # Nobody's concern any more.
        await update(client, "t1", _1_place={"action": "decline"})
        await asks(one, 2)
        assert list((await got(client, "t1")).inputRequests or ()) == ["2-place"]
    assert len(await answers(one, 1)) == 1


async def test_answers_may_come_one_after_the_other(one: World) -> None:
    await asks(one, **BOTH)
    async with handling(one) as client:
        assert list((await got(client, "t1")).inputRequests or ()) == ["1-from", "1-to"]
        await update(client, "t1", _1_from=ROME)
        found = await got(client, "t1")
        assert (found.status, list(found.inputRequests or ())) == ("input_required", ["1-to"])
        await update(client, "t1", _1_from={"action": "cancel"}, _1_to={"action": "decline"})
    answer = await next_fact(one, TaskAnswered)
    assert (answer.action, answer.content) == ("accept", {"from": {"city": "Rome"}})


async def test_an_update_that_does_not_fit_is_refused_and_may_be_made_again(one: World) -> None:
    await asks(one)
    async with handling(one) as client:
        with pytest.raises(MCPError, match=r"inputResponses.*city"):
            await update(client, "t1", _1_place={"action": "accept", "content": {"town": "Rome"}})
        long: Any = {"action": "accept", "content": {"city": "x" * 20_000}}
        with pytest.raises(MCPError, match="at most 16384"):
            await update(client, "t1", _1_place=long)
        await update(client, "t1", _1_place=ROME)
    assert (await next_fact(one, TaskAnswered)).content == {"city": "Rome"}


async def test_what_a_client_can_not_answer_is_said_in_words(one: World) -> None:
    await asks(one)
    async with agent(one, extensions=[Tasks()]) as client:
        found = await got(client, "t1")
        assert (found.status, found.inputRequests) == ("working", None)
        assert "answer_task: task t1, q 1" in found.statusMessage
    await one.append(facts.answered("alice", "t1"), facts.asked("alice", "t1", 2))
    async with handling(one) as client:
        found = await got(client, "t1")
        assert (found.status, found.inputRequests) == ("working", None)
        assert "waits for a person to allow it" in found.statusMessage
        await update(client, "t1", _2_answer={"action": "accept"})
    assert len(await answers(one, 1)) == 1


async def test_others_do_not_answer(one: World) -> None:
    await asks(one)
    async with handling(one, "bob-token") as client:
        with pytest.raises(MCPError, match="there is no task"):
            await update(client, "t1", _1_place=ROME)
        refused = await client.call_tool("answer_task", {"task": "t1", "q": 1, "action": "decline"})
        assert refused.is_error
    async with handling(one) as client:
        assert (await got(client, "t1")).status == "input_required"


class Stream:
    """What comes on a stream of `subscriptions/listen`."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            async for line in self._lines:
                if (text := line.removeprefix("data: ")).startswith("{"):
                    return json.loads(text)  # type: ignore[no-any-return]
        raise AssertionError


@contextlib.asynccontextmanager
async def listening(
    gateway: World, *tasks: Any, token: str = "alice-token", knows: bool = True
) -> AsyncIterator[Stream]:
    capabilities = {"extensions": {TASKS: {}} if knows else {}, "elicitation": {}}
    meta = META | {"io.modelcontextprotocol/clientCapabilities": capabilities}
    wanted = {"toolsListChanged": True, "taskIds": list(tasks)}
    params = {"notifications": wanted, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 5, "method": "subscriptions/listen", "params": params}
    headers = ACCEPT | {"mcp-protocol-version": MODERN, "mcp-method": "subscriptions/listen"}
    async with (
        gateway.http(token) as client,
        client.stream("POST", "/mcp", json=body, headers=headers) as answer,
    ):
        yield Stream(answer.aiter_lines())


async def test_who_listens_is_told_of_the_status_of_tasks(one: World) -> None:
    await one.append(facts.created("bob", "of-bob"))
    async with listening(one, "t1", "of-bob", "none", "t1") as stream:
        first = await stream.next()
        assert first["method"] == "notifications/subscriptions/acknowledged"
        honoured = first["params"]["notifications"]
        assert honoured == {"toolsListChanged": True, "taskIds": ["t1"]}
        told = await stream.next()
        assert (told["method"], told["params"]["status"]) == ("notifications/tasks", "working")
        assert told["params"]["ttlMs"] is None
        assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 5
        await asks(one)
        told = await stream.next()
        assert told["params"]["status"] == "input_required"
        assert list(told["params"]["inputRequests"]) == ["1-place"]
        await one.append(facts.answered("alice", "t1"))
        assert (await stream.next())["params"]["status"] == "working"
        done = facts.done("alice", "t1", Outcome.SUCCEEDED, result=inline(b"1"), attempt=1)
        await one.append(done)
        told = await stream.next()
        assert told["params"]["status"] == "completed"
        assert told["params"]["result"]["structuredContent"] == {"result": 1}
    async with asyncio.timeout(20):
        while any(key[0] == "task" for key in one.site.feed._index):
            await one.append(facts.created("alice", facts.name()))
            await one.settled()


async def test_tasks_are_for_clients_that_know_of_them(one: World) -> None:
    async with listening(one, "t1", knows=False) as stream:
        refused = await stream.next()
    assert refused["error"]["code"] == t.MISSING_REQUIRED_CLIENT_CAPABILITY
    assert TASKS in refused["error"]["data"]["requiredCapabilities"]["extensions"]
    async with listening(one, 5) as stream:
        assert (await stream.next())["error"]["code"] == t.INVALID_PARAMS
