"""Questions of tasks: who sees them, who may answer, and that each is answered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.asks import AnswerAction, QuestionKind
from contracts.facts import Outcome, TaskAnswered
from contracts.host import Access
from services.bus.bus import Bus
from tests.support import facts
from tests.support.facts import name
from tests.unit.gateway.peopled import added, peopled, signed_in
from tests.unit.gateway.world import TASK, World, made

YES = {"q": 1, "action": "accept"}
NO = {"q": 1, "action": "decline", "reason": "not today"}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
INPUT = {"kind": QuestionKind.INPUT, "message": "where?", "schema": SCHEMA}


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with peopled(tmp_path, bus) as world:
        yield world


async def waiting(one: World, token: str = "alice-token", **fields: Any) -> str:
    """A task of hers that asks; without fields, whether a tool may be called."""
    async with one.http(token) as client:
        view = await made(client)
        await one.append(facts.asked(view["user"], view["id"], **fields))
        await one.settled()
        return view["id"]


async def answer(
    one: World, token: str, task: str, body: dict[str, Any], **params: str
) -> httpx.Response:
    async with one.http(token) as client:
        return await client.post(f"/api/tasks/{task}/answer", json=body, params=params)


async def asks(one: World, token: str, **params: Any) -> dict[str, Any]:
    async with one.http(token) as client:
        found = await client.get("/api/asks", params=params)
        assert found.status_code == 200, found.text
        return found.json()


async def seen(one: World, token: str) -> list[str]:
    return [ask["task"] for ask in (await asks(one, token))["data"]]


async def person(one: World, **fields: Any) -> tuple[str, str]:
    """Somebody who has signed in, and an access token of theirs."""
    user = await added(one, **fields)
    return user, (await signed_in(one, user))["access_token"]


async def test_a_task_shows_what_it_asks_and_the_list_what_would_be_called(one: World) -> None:
    task = await waiting(one)
    async with one.http() as alice:
        view = (await alice.get(f"/api/tasks/{task}")).json()["data"]
        listed = (await alice.get("/api/tasks", params={"status": "input_required"})).json()
    assert view["status"] == "input_required"
    assert view["question"]["q"] == 1
    assert view["waiting"] == "an answer to: May tool x of host h1 be called?"
    assert [row["id"] for row in listed["data"]] == [task]
    (ask,) = (await asks(one, "alice-token"))["data"]
    assert ask["question"] == view["question"]
    assert ask["question"]["expires"] == ask["question"]["asked_at"] + 100
    assert (ask["task"], ask["input"], ask["input_chars"]) == (task, '{"a":[2],"b":1}', 15)
    assert (await answer(one, "alice-token", task, YES)).status_code == 200
    async with one.http() as alice:
        view = (await alice.get(f"/api/tasks/{task}")).json()["data"]
    assert view["status"] == "queued"
    assert "question" not in view
    assert await seen(one, "alice-token") == []


async def test_the_answer_stands_in_the_log_with_who_gave_it(one: World) -> None:
    user, token = await person(one)
    task = await waiting(one, token)
    said = await answer(one, token, task, NO)
    assert said.status_code == 200, said.text
    record = await one.log.at(said.json()["data"]["seq"])
    assert record is not None
    fact = record.fact
    assert isinstance(fact, TaskAnswered)
    assert (fact.action, fact.reason) == (AnswerAction.DECLINE, "not today")
    assert fact.answered_by == user
    assert fact.authority.startswith("session:")


async def test_the_same_answer_again_changes_nothing_and_another_is_refused(one: World) -> None:
    task = await waiting(one)
    first = await answer(one, "alice-token", task, YES)
    again = await answer(one, "alice-token", task, YES)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["data"] == again.json()["data"]
    assert again.json()["message"] == "this was answered before"
    other = await answer(one, "alice-token", task, NO)
    assert other.status_code == 409
    assert "alice has answered accept" in other.json()["error"]["message"]


async def test_of_many_who_answer_at_once_one_is_heard(one: World) -> None:
    task = await waiting(one)
    bodies = [YES, NO, {"q": 1, "action": "cancel"}] * 3
    said = await asyncio.gather(*(answer(one, "alice-token", task, body) for body in bodies))
    good = {one.json()["data"]["action"] for one in said if one.status_code == 200}
    assert len(good) == 1
    assert {one.status_code for one in said} == {200, 409}


async def test_what_is_over_or_was_not_asked_is_not_answered(one: World) -> None:
    task = await waiting(one)
    assert (await answer(one, "alice-token", task, YES | {"q": 2})).status_code == 404
    assert (await answer(one, "alice-token", "nothing", YES)).status_code == 404
    await one.append(facts.done("alice", task, Outcome.CANCELLED))
    over = await answer(one, "alice-token", task, YES)
    assert over.status_code == 404
    assert over.json()["error"]["reason"] == "already_over"


async def test_what_a_lost_attempt_has_asked_is_not_answered(one: World) -> None:
    async with one.http() as alice:
        view = await made(alice)
        user, task = view["user"], view["id"]
        await one.append(facts.signed(user, task))
        await one.append(facts.asked(user, task, attempt=1, **INPUT))
        await one.settled()
        view = (await alice.get(f"/api/tasks/{task}")).json()["data"]
        assert (view["status"], view["question"]["held"]) == ("input_required", True)
        await one.append(facts.failed(user, task))
        await one.settled()
        refused = await answer(one, "alice-token", task, YES | {"content": {"city": "Rome"}})
        assert refused.status_code == 404, refused.text
        assert "attempt 1, which has asked question 1, is over" in refused.text
        assert "question" not in (await alice.get(f"/api/tasks/{task}")).json()["data"]


async def test_a_task_whose_call_is_held_runs_on_once_it_is_answered(one: World) -> None:
    async with one.http() as alice:
        view = await made(alice)
        user, task = view["user"], view["id"]
        await one.append(facts.signed(user, task))
        await one.append(facts.asked(user, task, attempt=1, **INPUT))
        await one.settled()
        said = await answer(one, "alice-token", task, YES | {"content": {"city": "Rome"}})
        assert said.status_code == 200, said.text
        assert (await alice.get(f"/api/tasks/{task}")).json()["data"]["status"] == "running"


async def test_others_do_not_see_it(one: World) -> None:
    task = await waiting(one)
    for body in (YES, YES | {"q": 2}):
        said = await answer(one, "bob-token", task, body, user="alice")
        assert said.status_code == 404
        assert said.json()["error"]["message"] == f"there is no task {task}"
    assert (await answer(one, "bob-token", task, YES, user="..")).status_code == 404
    assert await seen(one, "bob-token") == []
    assert await seen(one, "admin-token") == [task]
    assert (await answer(one, "admin-token", task, YES, user="alice")).status_code == 200


async def test_whom_the_host_names_may_allow_it_and_nobody_else(one: World) -> None:
    user, token = await person(one)
    task = await waiting(one, approvers=Access(users=(user,)))
    assert (await answer(one, "alice-token", task, YES)).status_code == 403
    assert (await answer(one, "admin-token", task, YES, user="alice")).status_code == 404
    assert await seen(one, token) == [task]
    assert (await answer(one, token, task, YES, user="alice")).status_code == 200


async def test_no_token_allows_what_an_agent_asks_for(one: World) -> None:
    user, token = await person(one)
    async with one.http("admin-token") as admin:
        issued = await admin.post("/api/tokens", json={"user": user})
        assert issued.status_code == 201, issued.text
        agent = issued.json()["data"]["token"]
    task = await waiting(one, agent)
    assert await seen(one, agent) == [task]
    said = await answer(one, agent, task, YES)
    assert said.status_code == 403
    assert "sign in" in said.json()["error"]["message"]
    assert (await answer(one, token, task, YES)).status_code == 200
    told = await waiting(one, agent, **INPUT)
    city = YES | {"content": {"city": "Ulm"}}
    assert (await answer(one, agent, told, city)).status_code == 200


MISFITS: list[tuple[dict[str, Any], int, str]] = [
    (YES, 400, "city"),
    (YES | {"content": {"city": 7}}, 400, "city"),
    (YES | {"content": {"city": "x", "more": 1}}, 400, "more"),
    (NO | {"content": {"city": "x"}}, 400, "nothing is wanted"),
    (YES | {"content": {"city": "x" * 20_000}}, 413, "16384"),
    (NO | {"reason": "x" * 5000}, 413, "4096"),
    ({"q": 1, "action": "maybe"}, 400, "maybe"),
    ({"action": "accept"}, 400, "q"),
]


async def test_an_answer_has_to_fit(one: World) -> None:
    task = await waiting(one, **INPUT)
    for body, status, why in MISFITS:
        said = await answer(one, "alice-token", task, body)
        assert (said.status_code, why in said.text) == (status, True), said.text


async def test_a_schema_that_nobody_can_judge_is_told(one: World) -> None:
    bomb = {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}] * 2}}}
    task = await waiting(one, **INPUT | {"schema": bomb})
    said = await answer(one, "alice-token", task, YES | {"content": {"x": 1}})
    assert said.status_code == 400
    assert "Decline it" in said.json()["error"]["message"]
    assert (await answer(one, "alice-token", task, NO)).status_code == 200


async def test_many_questions_come_in_pages(one: World) -> None:
    tasks = [name("t") for _ in range(5)]
    for task in tasks:
        await one.append(facts.created("alice", task), facts.asked("alice", task))
        await one.append(facts.created("bob", task), facts.asked("bob", task))
    await one.settled()
    found: list[str] = []
    cursor = {}
    while cursor is not None:
        page = await asks(one, "alice-token", limit=2, **cursor)
        found += [ask["task"] for ask in page["data"]]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert found == tasks[::-1]
    assert len((await asks(one, "admin-token"))["data"]) == 10


async def test_followers_see_question_and_answer(one: World) -> None:
    async with one.stream() as stream:
        await stream.follow()
        task = await waiting(one)
        said = await answer(one, "alice-token", task, YES)
        await stream.through(said.json()["data"]["seq"])
    kinds = [event["event"]["type"] for event in stream.events()]
    assert kinds == ["task.created", "task.asked", "task.answered"]
    assert TASK["type"] == stream.events()[0]["event"]["spec"]["type"]
