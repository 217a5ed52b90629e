"""Calls whose tasks ask, through the SDK's client in both eras; the test plays the host."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import mcp_types as t
import pytest
from mcp import Client, MCPError
from mcp.client.session import ClientRequestContext

from contracts.asks import AnswerAction, QuestionKind, TaskAnswered
from contracts.facts import TaskCreated
from contracts.scopes import MCP_CALL, RESULTS_READ, TASKS_READ
from services.gateway.mcp import alive
from services.gateway.mcp.asked import PATIENCE_KEY
from services.log.port import START
from tests.support import facts
from tests.unit.gateway.mcp.test_door import ERAS, Mode, agent, echoed, ended, next_fact, register
from tests.unit.gateway.mcp.test_lost import text_of, waits
from tests.unit.gateway.mcp_requests import ACCEPT, HELLO
from tests.unit.gateway.scoped import take_scoped_tokens, token
from tests.unit.gateway.world import World

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WHERE: dict[str, Any] = {
    "kind": QuestionKind.INPUT,
    "message": "Where to?",
    "schema": CITY,
    "keys": ("place",),
}
ROME = t.ElicitResult(action="accept", content={"city": "Rome"})
Said = t.ElicitResult | t.ErrorData


class Person:
    """Whoever sits at a client, and answers what they are asked."""

    def __init__(self, *answers: Said) -> None:
        self.answers = list(answers)
        self.asked: list[t.ElicitRequestParams] = []
        self.reached = asyncio.Event()
        self.dropped = asyncio.Event()
        self.late = asyncio.Event()
        """Whoever has no answers left gives one then."""

    async def __call__(self, _: ClientRequestContext, params: t.ElicitRequestParams) -> Said:
        self.asked.append(params)
        self.reached.set()
        if self.answers:
            return self.answers.pop(0)
        try:
            await self.late.wait()
        except asyncio.CancelledError:
            self.dropped.set()
            raise
        return ROME


async def asks(gateway: World, task: TaskCreated, q: int = 1, **fields: Any) -> None:
    await gateway.append(facts.asked(task.user, task.task, q, **(WHERE | fields)))
    await gateway.settled()


@contextlib.asynccontextmanager
async def calling(client: Client, gateway: World, **options: Any) -> AsyncIterator[Any]:
    """A call under way, and its task."""
    call = asyncio.create_task(client.call_tool("h1__echo", {"text": "hi"}, **options))
    task = await next_fact(gateway, TaskCreated)
    try:
        yield call, task
    finally:
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await call


@pytest.fixture
async def one(gateway: World) -> World:
    await register(gateway)
    return gateway


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_that_takes_questions_is_asked_and_the_call_goes_on(
    one: World, mode: Mode
) -> None:
    person = Person(ROME)
    async with (
        agent(one, mode=mode, elicitation_callback=person) as client,
        calling(client, one) as (call, task),
    ):
        await asks(one, task)
        answer = await next_fact(one, TaskAnswered)
        assert (answer.q, answer.action, answer.content) == (1, "accept", {"city": "Rome"})
        assert answer.answered_by == "alice"
        await ended(one, task, echoed("Ciao"))
        assert text_of(await call) == "Ciao"
    (asked,) = person.asked
    assert isinstance(asked, t.ElicitRequestFormParams)
    assert (asked.message, asked.requested_schema) == ("Where to?", CITY)


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_what_a_person_does_not_answer_is_passed_on(
    one: World, mode: Mode, action: Any
) -> None:
    person = Person(t.ElicitResult(action=action))
    async with (
        agent(one, mode=mode, elicitation_callback=person) as client,
        calling(client, one) as (call, task),
    ):
        await asks(one, task)
        answer = await next_fact(one, TaskAnswered)
        assert (answer.action, answer.content) == (action, {})
        await ended(one, task, echoed("as you like"))
        assert text_of(await call) == "as you like"


@pytest.mark.parametrize("mode", ERAS)
async def test_of_several_things_each_is_asked_and_what_is_declined_is_left_out(
    one: World, mode: Mode
) -> None:
    person = Person(ROME, t.ElicitResult(action="decline"))
    if mode == "auto":
        # The newer era asks for all of them at once, in any order.
        person.answers = [ROME, ROME]
    both = {
        "type": "object",
        "properties": {"from": CITY | {"description": "Where from?"}, "to": CITY},
    }
    async with (
        agent(one, mode=mode, elicitation_callback=person) as client,
        calling(client, one) as (_, task),
    ):
        await asks(one, task, schema=both, keys=("from", "to"))
        answer = await next_fact(one, TaskAnswered)
    assert answer.action is AnswerAction.ACCEPT
    assert answer.content["from"] == {"city": "Rome"}
    assert ("to" in answer.content) is (mode == "auto")
    assert sorted(asked.message for asked in person.asked) == ["Where from?", "Where to?"]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_that_opens_pages_is_sent_to_one(one: World, mode: Mode) -> None:
    person = Person(t.ElicitResult(action="accept"))
    page: Any = {"url": "https://example.com/connect", "schema": {}}
    async with (
        agent(one, mode=mode, elicitation_callback=person) as client,
        calling(client, one) as (_, task),
    ):
        await asks(one, task, **page)
        answer = await next_fact(one, TaskAnswered)
    assert (answer.action, answer.content) == ("accept", {})
    (asked,) = person.asked
    assert isinstance(asked, t.ElicitRequestURLParams)
    assert asked.url == "https://example.com/connect"
    assert (asked.elicitation_id is None) is (mode == "auto")


@pytest.mark.parametrize("mode", ERAS)
async def test_any_other_client_is_told_what_is_asked_and_answers_with_a_tool(
    one: World, mode: Mode
) -> None:
    async with agent(one, mode=mode) as client, calling(client, one) as (call, task):
        await asks(one, task)
        answer = await call
        assert answer.is_error is False
        told = answer.structured_content
        assert (told["task"], told["status"]) == (task.task, "input_required")
        assert told["question"]["schema"] == CITY
        assert "Where to?" in text_of(answer)
        assert f"answer_task: task {task.task}, q 1" in text_of(answer)
        said = {"task": task.task, "q": 1, "action": "accept"}
        wrong = await client.call_tool("answer_task", said | {"content": {"town": "Rome"}})
        assert wrong.is_error
        assert "city" in text_of(wrong)
        right = await client.call_tool("answer_task", said | {"content": {"city": "Rome"}})
        assert right.is_error is False, text_of(right)
    assert (await next_fact(one, TaskAnswered)).content == {"city": "Rome"}


@pytest.mark.parametrize("mode", ERAS)
async def test_no_client_allows_what_a_person_has_to(one: World, mode: Mode) -> None:
    person, heard = Person(), asyncio.Event()
    told: list[str] = []

    async def progress(_: float, __: float | None, message: str | None) -> None:
        told.append(message or "")
        if "waits for a person to allow it: May tool x" in told[-1]:
            heard.set()

    async with (
        agent(one, mode=mode, elicitation_callback=person) as client,
        calling(client, one, progress_callback=progress) as (call, task),
    ):
        await one.append(facts.asked("alice", task.task))
        async with asyncio.timeout(20):
            await heard.wait()
        assert not call.done()
        said = {"task": task.task, "q": 1, "action": "accept"}
        refused = await client.call_tool("answer_task", said)
        assert refused.is_error
        assert "only a person may allow this" in text_of(refused)
        early = await client.call_tool("h1__echo", {"text": "hi"}, meta={PATIENCE_KEY: 0})
        assert f"metamcp answer {task.task}" in text_of(early)
        await one.append(facts.answered("alice", task.task))
        await ended(one, task, echoed("allowed"))
        assert text_of(await call) == "allowed"
    assert person.asked == []


async def test_of_two_who_wait_the_first_answer_counts_and_the_other_is_asked_no_more(
    one: World,
) -> None:
    quick, slow = Person(), Person()
    async with (
        agent(one, mode="legacy", elicitation_callback=slow) as client,
        agent(one, mode="legacy", elicitation_callback=quick) as other,
        calling(client, one) as (call, task),
        calling(other, one) as (second, _),
    ):
        await waits(one, task.task, 2)
        quick.answers = [ROME]
        await asks(one, task)
        assert (await next_fact(one, TaskAnswered)).content == {"city": "Rome"}
        async with asyncio.timeout(20):
            await slow.dropped.wait()
        await ended(one, task, echoed("Ciao"))
        assert [text_of(await each) for each in (call, second)] == ["Ciao", "Ciao"]


async def test_who_leaves_has_answered_nothing(one: World) -> None:
    person = Person()
    async with agent(one, mode="legacy", elicitation_callback=person) as client:
        async with calling(client, one) as (_, task):
            await asks(one, task)
            await person.reached.wait()
        await waits(one, task.task, 0)
        person.late.set()
        await client.list_tools()
    view = await one.site.desk.view("alice", task.task)
    assert view is not None
    assert view.status == "input_required"


async def test_what_a_host_does_not_ask_any_more_nobody_is_asked(one: World) -> None:
    person = Person()
    async with (
        agent(one, mode="legacy", elicitation_callback=person) as client,
        calling(client, one) as (call, task),
    ):
        await asks(one, task)
        await person.reached.wait()
        await one.append(facts.failed(task.user, task.task))
        async with asyncio.timeout(20):
            await person.dropped.wait()
        await ended(one, task, echoed("without it"))
        assert text_of(await call) == "without it"


async def test_an_answer_that_does_not_fit_is_told_and_the_question_stays(one: World) -> None:
    person = Person(t.ElicitResult(action="accept", content={"town": "Rome"}))
    async with (
        agent(one, mode="legacy", elicitation_callback=person) as client,
        calling(client, one) as (call, task),
    ):
        await asks(one, task)
        answer = await call
    assert "The answer was not taken" in text_of(answer)
    assert answer.structured_content["status"] == "input_required"


async def test_of_the_newer_era_who_answers_amiss_is_asked_again(one: World) -> None:
    person = Person(t.ElicitResult(action="accept", content={"town": "Rome"}), ROME)
    async with (
        agent(one, elicitation_callback=person) as client,
        calling(client, one) as (_, task),
    ):
        await asks(one, task)
        assert (await next_fact(one, TaskAnswered)).content == {"city": "Rome"}
    assert [asked.message.partition("\n")[0] for asked in person.asked] == ["Where to?"] * 2
    assert "Not taken" in person.asked[1].message


async def test_a_task_may_ask_more_than_once(one: World) -> None:
    person = Person(ROME, t.ElicitResult(action="accept", content={"city": "Bari"}))
    async with (
        agent(one, elicitation_callback=person) as client,
        calling(client, one) as (call, task),
    ):
        await asks(one, task)
        await next_fact(one, TaskAnswered)
        await asks(one, task, 2, message="And then?")
        found = await answers(one, 2)
        assert found[1].content == {"city": "Bari"}
        await ended(one, task, echoed("both"))
        assert text_of(await call) == "both"


async def answers(gateway: World, count: int) -> list[TaskAnswered]:
    """All answers in the log, once there are so many."""
    found: list[TaskAnswered] = []
    async with asyncio.timeout(20):
        async for batch in gateway.log.follow((">",), START):
            found += [r.fact for r in batch.records if isinstance(r.fact, TaskAnswered)]
            if len(found) >= count:
                break
    return found


async def test_who_waits_for_a_task_hears_what_it_asks(one: World) -> None:
    await one.append(facts.created("alice", "t1"))
    async with agent(one) as client:
        waiting = asyncio.create_task(client.call_tool("get_task", {"task": "t1", "wait_s": 60}))
        await waits(one, "t1", 1)
        await one.append(facts.asked("alice", "t1", **WHERE))
        found = (await waiting).structured_content
        assert found is not None
        assert (found["status"], found["question"]["message"]) == ("input_required", "Where to?")
        await one.settled()
        listed = await client.call_tool("list_tasks", {"status": "input_required"})
        assert listed.structured_content is not None
        assert [(row["id"], row["asks"]) for row in listed.structured_content["tasks"]] == [
            ("t1", "Where to?")
        ]


async def test_whose_connection_is_cut_has_left(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "ALIVE_S", 0.02)
    async with one.http() as http:
        hello = HELLO | {"capabilities": {"elicitation": {}}}
        begun = await http.post("/mcp", json=message("initialize", hello), headers=ACCEPT)
        headers = ACCEPT | {"mcp-session-id": begun.headers["mcp-session-id"]}
        told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await http.post("/mcp", json=told, headers=headers)
        call = message("tools/call", {"name": "h1__echo", "arguments": {"text": "hi"}})
        async with http.stream("POST", "/mcp", json=call, headers=headers) as answer:
            task = await next_fact(one, TaskCreated)
            await asks(one, task)
            async with asyncio.timeout(20):
                async for line in answer.aiter_lines():
                    if "elicitation/create" in line:
                        asked = json.loads(line.removeprefix("data: "))
                        break
        (asking,) = asked_now()
        async with asyncio.timeout(20):
            await asyncio.wait((asking,))
        said = {"jsonrpc": "2.0", "id": asked["id"], "result": ROME.model_dump()}
        await http.post("/mcp", json=said, headers=headers)
    view = await one.site.desk.view("alice", task.task)
    assert view is not None
    assert view.status == "input_required"


def message(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def asked_now() -> set[asyncio.Task[Any]]:
    """The clients that are being asked."""
    named = "ClientQuestions._elicit"
    return {task for task in asyncio.all_tasks() if named in repr(task.get_coro())}


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("by", ["client:agent", "client:other"])
async def test_a_token_answers_what_was_asked_for_with_it_or_with_its_scope(
    one: World, mode: Mode, by: str
) -> None:
    take_scoped_tokens(one)
    await one.append(facts.created("alice", "t1", asked_by="client:agent"))
    held = token("alice", MCP_CALL, RESULTS_READ, TASKS_READ, by=by)
    person = Person(ROME)
    async with agent(one, held, mode=mode, elicitation_callback=person) as client:
        await one.append(facts.asked("alice", "t1", **WHERE))
        said = {"task": "t1", "q": 1, "action": "accept", "content": {"city": "Rome"}}
        if by == "client:agent":
            assert (await client.call_tool("answer_task", said)).is_error is False
            assert (await next_fact(one, TaskAnswered)).authority == by
        else:
            with pytest.raises(MCPError, match="tasks:write"):
                await client.call_tool("answer_task", said)
