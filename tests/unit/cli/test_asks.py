"""`metamcp asks` and `metamcp answer` against a real gateway."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts.asks import QuestionKind, TaskAnswered
from services.cli.app import execute
from services.cli.common import Exit
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, world

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "where"},
        "days": {"type": "integer"},
        "sun": {"type": "boolean"},
    },
    "required": ["city"],
}


DEFAULTS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "where", "default": "Ulm"},
        "days": {"type": "integer", "default": 3},
    },
}


class Terminal(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
async def real(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """A gateway with a task that wants to be allowed, and one whose host asks; alice is there."""
    monkeypatch.chdir(tmp_path)
    async with nats_server.connected("gateway") as bus, world(tmp_path, bus) as one:
        told: dict[str, Any] = {"kind": QuestionKind.INPUT, "message": "where?", "schema": SCHEMA}
        await one.append(facts.created("alice", "t1"), facts.asked("alice", "t1"))
        await one.append(facts.created("alice", "t2"), facts.asked("alice", "t2", **told))
        await one.settled()
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
        yield one


async def metamcp(*arguments: str) -> int:
    return await asyncio.to_thread(execute, list(arguments))


async def last(one: World) -> TaskAnswered:
    record = await one.log.at(await one.log.head())
    assert record is not None
    assert isinstance(record.fact, TaskAnswered)
    return record.fact


async def test_what_waits_is_listed_and_answered(
    real: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await metamcp("asks") == Exit.OK
    _, second, first = capsys.readouterr().out.splitlines()
    assert second.split()[0] == "t2"
    assert "May tool x of host h1 be called?" in first
    assert await metamcp("asks", "--limit", "1", "--json") == Exit.OK
    page = json.loads(capsys.readouterr().out)
    assert [ask["task"] for ask in page["asks"]] == ["t2"]
    assert page["next_cursor"]
    assert await metamcp("answer", "t1", "--decline", "--reason", "no") == Exit.OK
    assert capsys.readouterr().out == "t1: decline\n"
    fact = await last(real)
    assert (fact.action, fact.reason, fact.answered_by) == ("decline", "no", "alice")
    assert await metamcp("answer", "t1", "--accept") == Exit.REFUSED
    assert "no answer of yours" in capsys.readouterr().err
    assert await metamcp("task", "t1") == Exit.OK
    assert "question 1: decline by alice: no" in capsys.readouterr().out


async def test_fields_and_json_fill_the_answer(real: World) -> None:
    assert await metamcp("answer", "t2", "city=7", "days=3", "sun=true") == Exit.OK
    assert (await last(real)).content == {"city": "7", "days": 3, "sun": True}


async def test_content_is_held_against_the_schema(
    real: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await metamcp("answer", "t2", "--content", '{"days": 1}') == Exit.USAGE
    assert "city" in capsys.readouterr().err
    assert await metamcp("answer", "t2", "--content", '{"city": "Ulm"}') == Exit.OK
    assert (await last(real)).content == {"city": "Ulm"}


async def test_what_has_a_default_need_not_be_said(
    real: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for task, given in (("t3", ("days=2",)), ("t4", ("--accept",)), ("t5", ())):
        told: dict[str, Any] = {"kind": QuestionKind.INPUT, "schema": DEFAULTS}
        await real.append(facts.created("alice", task), facts.asked("alice", task, **told))
        await real.settled()
        monkeypatch.setattr("sys.stdin", Terminal("y\n\n7\n"))
        assert await metamcp("answer", task, *given) == Exit.OK
        said = {"t3": ("Ulm", 2), "t4": ("Ulm", 3), "t5": ("Ulm", 7)}[task]
        assert (await last(real)).content == dict(zip(("city", "days"), said, strict=True))
    assert 'city (where) ["Ulm"]: ' in capsys.readouterr().err


async def test_at_a_terminal_each_field_is_asked_for(
    real: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\nUlm\n\nfalse\n"))
    assert await metamcp("answer", "t2") == Exit.OK
    assert (await last(real)).content == {"city": "Ulm", "sun": False}
    assert "city (where): " in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal("what?\n"))
    assert await metamcp("answer", "t1") == Exit.USAGE
    told = capsys.readouterr().err
    assert "tool: x" in told
    assert "input: {}" in told


NONSENSE = (
    *("", "--accept --decline", "--decline city=x", "--accept --reason x", "city"),
    "city=x --content {}",
)


async def test_what_makes_no_sense_is_never_sent(
    real: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    head = await real.log.head()
    for words in NONSENSE:
        assert await metamcp("answer", "t2", *words.split()) == Exit.USAGE, words
    assert await real.log.head() == head
