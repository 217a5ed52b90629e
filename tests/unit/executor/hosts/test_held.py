"""Tools of the older era, whose calls are held open while people are asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from contracts.asks import (
    AnswerAction,
)
from services.executor.attempt.inquiry import HostQuestion, NobodyAsked
from services.executor.hosts.held import InSession
from tests.support import asking_mcp
from tests.unit.executor.asker import (
    APART,
    HTTP,
    OLDER,
    STDIO,
    Asker,
    People,
    answer,
    asked,
    asking,
    refusal,
    text,
)


@pytest.fixture(params=[STDIO, HTTP, APART])
async def asker(
    request: pytest.FixtureRequest, tmp_path: Path, forked_workers: None
) -> AsyncIterator[Asker]:
    async with asking(request.param, tmp_path) as one:
        yield one


async def test_a_call_is_held_open_until_the_answer(asker: Asker) -> None:
    host = asker.host(OLDER)
    session, call = asker.open(host), asker.call("several", host)
    people = People(call)
    running = asyncio.create_task(session.call(call))
    await people.asked.wait()
    people.asked.clear()
    (question,) = people.questions
    assert (question.tool, question.message, question.keys) == (
        *("several", "What is your name?"),
        (),
    )
    assert question.schema == asking_mcp.NAME
    people.may.set()
    said = {"action": "accept", "content": {"name": "Ada"}}
    assert text(await running)["who"] == said
    assert [one.message for one in people.questions] == ["What is your name?", "How big?"]
    (called,) = asker.written()
    assert called["tool"] == "several"


async def test_a_page_is_visited_while_the_call_is_held_open(asker: Asker) -> None:
    host = asker.host(OLDER)
    call = asker.call("url", host)
    people = People(call, (AnswerAction.ACCEPT, {}))
    people.may.set()
    assert text(await asker.open(host).call(call)) == {"page": {"action": "accept"}}
    assert people.questions[0].url == asking_mcp.URL


@pytest.mark.parametrize("action", ["accept", "decline"])
async def test_a_page_that_is_required_first_is_a_question_of_its_own(
    asker: Asker, action: str
) -> None:
    host = asker.host(OLDER)
    session = asker.open(host)
    question = await asked(session, asker.call("gated", host))
    assert (question.url, question.message) == (asking_mcp.URL, "Visit this page")
    call = asker.call("gated", host)
    call.reply = answer(question, action)
    if action == "decline":
        assert "wants a page to be visited" in (await refusal(session, call)).message
        assert len(asker.written()) == 1
    else:
        assert text(await session.call(call)) == {}


@pytest.mark.parametrize("asker", [HTTP, APART], indirect=True)
async def test_what_is_asked_beside_the_call_is_that_of_the_only_one(asker: Asker) -> None:
    host = asker.host(OLDER)
    call = asker.call("form", host, unrelated=True)
    people = People(call)
    people.may.set()
    said = {"who": {"action": "accept", "content": {"name": "Ada"}}}
    assert text(await asker.open(host).call(call)) == said


async def test_a_host_hears_why_nobody_is_asked(asker: Asker) -> None:
    host = asker.host(OLDER)
    call = asker.call("form", host)
    people = People(call, NobodyAsked("nobody is asked: too many wait"))
    people.may.set()
    error = await refusal(asker.open(host), call)
    assert "too many wait" in error.message


async def test_the_recorded_answer_is_given_to_the_same_question_of_a_held_call(
    asker: Asker,
) -> None:
    host = asker.host(OLDER)
    session, call = asker.open(host), asker.call("form", host)
    people = People(call)
    people.may.set()
    await session.call(call)
    again = asker.call("form", host)
    again.reply = answer(people.questions[0], name="Bob")
    nobody = People(again)
    said = {"who": {"action": "accept", "content": {"name": "Bob"}}}
    assert text(await session.call(again)) == said
    assert nobody.questions == []


async def test_a_host_that_does_not_wait_for_the_answer(asker: Asker) -> None:
    host = asker.host(OLDER)
    call = asker.call("form", host, patience_s=0.05)
    people = People(call)
    error = await refusal(asker.open(host), call)
    assert "did not wait for the answer" in error.message
    assert len(people.questions) == 1


async def test_a_call_that_is_cancelled_while_it_is_held_asks_nobody_any_more(
    asker: Asker,
) -> None:
    host = asker.host(OLDER)
    session, call = asker.open(host), asker.call("form", host)
    people = People(call)
    over = asyncio.Event()

    async def ask(question: HostQuestion) -> tuple[AnswerAction, dict[str, Any]]:
        try:
            return await people.ask(question)
        finally:
            over.set()

    call.ask = ask
    running = asyncio.create_task(session.call(call))
    await people.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(over.wait(), 5)
    note = asker.call("note", host)
    assert text(await session.call(note)) == {}


@pytest.mark.parametrize("asker", [HTTP, APART], indirect=True)
async def test_questions_of_calls_in_one_session_are_not_mixed_up(asker: Asker) -> None:
    host = asker.host(OLDER)
    session = asker.open(host)
    await session.call(asker.call("note", host))
    calls = {name: asker.call("form", host, message=f"Who is {name}?") for name in "ab"}
    people = {name: People(call) for name, call in calls.items()}
    running = [asyncio.create_task(session.call(call)) for call in calls.values()]
    for name, one in people.items():
        await one.asked.wait()
        assert [question.message for question in one.questions] == [f"Who is {name}?"]
        one.said = (AnswerAction.ACCEPT, {"name": name})
        one.may.set()
    ends = [text(end)["who"]["content"] for end in await asyncio.gather(*running)]
    assert ends == [{"name": "a"}, {"name": "b"}]


@pytest.mark.parametrize("asker", [STDIO], indirect=True)
async def test_where_it_is_not_known_which_call_asks_nobody_is_asked(asker: Asker) -> None:
    inside, calls = InSession(), [asker.call("form"), asker.call("form")]
    params = asking_mcp.form().params
    people = [People(call) for call in calls]
    for one in people:
        one.may.set()

    async def elicited() -> Any:
        """As over stdio, whose reader knows of no call."""
        return await asyncio.create_task(inside.elicited(None, params), context=Context())

    with inside.making(calls[0], "form"), inside.making(calls[1], "form"):
        assert "not known which call" in (await elicited()).message
    assert "not known which call" in (await elicited()).message, "there is none"
    with inside.making(calls[0], "form"):
        assert (await elicited()).action == "accept"
        with inside.beside("resources/read"):
            assert "not known which call" in (await elicited()).message, "perhaps the read"
        with inside.beside("tools/list"):
            assert (await elicited()).action == "accept", "a list asks nobody"
    with pytest.raises(asyncio.CancelledError), inside.making(calls[0], "form"):
        raise asyncio.CancelledError
    with inside.making(calls[0], "form"):
        assert (await elicited()).action == "accept", "the same user's"
    calls[1].plan = calls[1].plan._replace(user="bob")
    with inside.making(calls[1], "form"):
        assert "not known which call" in (await elicited()).message, "perhaps the one given up"
    assert [len(one.questions) for one in people] == [3, 0]
