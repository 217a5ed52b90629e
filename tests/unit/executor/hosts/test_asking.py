"""Tools that ask before they answer: what becomes a question, and how they hear the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.asks import (
    SCHEMA_BYTES,
    STATE_BYTES,
)
from contracts.facts import FailureKind
from contracts.host import Step, TaskBinding
from contracts.message import MESSAGE_BYTES
from tests.support import asking_mcp
from tests.unit.executor.asker import (
    APART,
    HTTP,
    OLDER,
    STDIO,
    Asker,
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


async def test_a_form_is_asked_and_its_answer_taken_along(asker: Asker) -> None:
    session = asker.open()
    question = await asked(session, asker.call("form"))
    assert (question.tool, question.keys, question.message) == (
        *("form", ("who",)),
        "What is your name?",
    )
    assert (question.schema, question.url, question.calls) == (asking_mcp.NAME, "", 0)
    assert question.state.startswith("form-")
    call = asker.call("form")
    call.reply = answer(question, name="Ada")
    said = {"who": {"action": "accept", "content": {"name": "Ada"}}}
    assert text(await session.call(call)) == said
    first, second = asker.written()
    assert (first["responses"], first["state"]) == ({}, None)
    assert (second["responses"], second["state"]) == (said, question.state)


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_host_hears_a_no(asker: Asker, action: str) -> None:
    session = asker.open()
    question = await asked(session, asker.call("several"))
    call = asker.call("several")
    call.reply = answer(question, action)
    assert text(await session.call(call)) == {"who": {"action": action}, "how": {"action": action}}


async def test_several_things_are_one_question(asker: Asker) -> None:
    session = asker.open()
    question = await asked(session, asker.call("several"))
    assert question.keys == ("who", "how")
    assert question.message == "What is your name?\nHow big?"
    who = asking_mcp.NAME | {"description": "What is your name?"}
    how = asking_mcp.SIZE | {"description": "How big?"}
    assert question.schema == {"type": "object", "properties": {"who": who, "how": how}}
    call = asker.call("several")
    call.reply = answer(question, how={"size": 3})
    said = {"who": {"action": "decline"}, "how": {"action": "accept", "content": {"size": 3}}}
    assert text(await session.call(call)) == said


async def test_a_page_is_visited(asker: Asker) -> None:
    session = asker.open()
    question = await asked(session, asker.call("url"))
    assert (question.url, question.schema) == (asking_mcp.URL, {})
    call = asker.call("url")
    call.reply = answer(question)
    assert text(await session.call(call)) == {"page": {"action": "accept"}}


async def test_a_second_question_follows_the_first_answer(asker: Asker) -> None:
    session = asker.open()
    first = await asked(session, asker.call("twice"))
    call = asker.call("twice")
    call.reply = answer(first, name="Ada")
    second = await asked(session, call)
    assert second.message == "And your other name?"
    assert second.state == f"second-{first.state}"


async def test_a_tool_that_wants_to_be_called_again_is(asker: Asker) -> None:
    await asker.open().call(asker.call("busy"))
    assert [one["state"] for one in asker.written()] == [None, "1", "2", "3"]


@pytest.mark.parametrize("asker", [STDIO], indirect=True)
async def test_a_tool_that_always_wants_to_be_called_again_is_given_up(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.executor.hosts.asking.PAUSES_S", (0.0,) * 3)
    error = await refusal(asker.open(), asker.call("endless"))
    assert (error.kind, error.transient) == (FailureKind.PROTOCOL, True)
    assert "3 times" in error.message
    assert len(asker.written()) == 3


@pytest.mark.parametrize("how", ["error", "again"])
async def test_a_host_that_has_forgotten_is_called_anew_where_that_does_no_harm(
    asker: Asker, how: str
) -> None:
    session = asker.open()
    question = await asked(session, asker.call("lost", how=how))
    call = asker.call("lost", how=how)
    call.reply = answer(question, name="Ada")
    said = {"who": {"action": "accept", "content": {"name": "Ada"}}}
    assert text(await session.call(call)) == said
    assert [bool(one["responses"]) for one in asker.written()] == [False, True, False, True]


@pytest.mark.parametrize(("how", "why"), [("error", "unknown requestState"), ("again", "same")])
async def test_a_host_that_has_forgotten_is_not_called_anew_elsewhere(
    asker: Asker, how: str, why: str
) -> None:
    session = asker.open()
    question = await asked(session, asker.call("lost_once", how=how))
    call = asker.call("lost_once", how=how)
    call.reply = answer(question, name="Ada")
    error = await refusal(session, call)
    assert (error.kind, error.called, error.callers) == (FailureKind.PROTOCOL, True, True)
    assert why in error.message
    assert "has not taken the answer to question 1" in error.message
    assert len(asker.written()) == 2


@pytest.mark.parametrize("asker", [STDIO], indirect=True)
@pytest.mark.parametrize(
    ("tool", "words", "why"),
    [
        ("sampling", {}, "deprecated"),
        ("roots", {}, "no roots"),
        ("mixed", {}, "at the same time"),
        ("scheme", {}, "no address of the web"),
        ("big", {"state": STATE_BYTES}, f"{STATE_BYTES} are the most"),
        ("big", {"fields": 800}, f"{SCHEMA_BYTES} are the most"),
        ("big", {"message": MESSAGE_BYTES + 1}, f"{MESSAGE_BYTES} are the most"),
    ],
)
async def test_what_can_not_be_asked_ends_the_call_and_says_why(
    asker: Asker, tool: str, words: dict[str, Any], why: str
) -> None:
    error = await refusal(asker.open(), asker.call(tool, **words))
    assert (error.kind, error.callers, error.question) == (FailureKind.PROTOCOL, True, None)
    assert why in error.message, error.message


@pytest.mark.parametrize(("tool", "why"), [("sampling", "deprecated"), ("roots", "no roots")])
async def test_an_older_host_is_told_why_it_gets_neither_model_nor_roots(
    asker: Asker, tool: str, why: str
) -> None:
    host = asker.host(OLDER)
    error = await refusal(asker.open(host), asker.call(tool, host))
    assert why in error.message


@pytest.mark.parametrize("asker", [STDIO], indirect=True)
async def test_a_later_step_may_ask_where_the_first_may_be_called_again(asker: Asker) -> None:
    types = {
        "harmless": TaskBinding((Step("note"), Step("form"))),
        "careful": TaskBinding((Step("note"), Step("form_once"))),
    }
    host = asker.host(task_types=types)
    session = asker.open(host)
    question = await asked(session, asker.call("", host, "harmless"))
    assert (question.tool, question.calls) == ("form", 1)
    call = asker.call("", host, "harmless")
    call.reply = answer(question, name="Ada")
    await session.call(call)
    assert [one["tool"] for one in asker.written()] == ["note", "form"] * 2
    error = await refusal(session, asker.call("", host, "careful"))
    assert "may not be called again" in error.message
