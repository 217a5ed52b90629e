"""Batches and operations by command, against a real gateway."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.facts import Outcome, TaskCreated
from services.cli.app import execute
from services.cli.common import Exit
from services.log.port import START
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, world


@pytest.fixture
async def gateway(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks.jsonl").write_text('{"type":"t.x"}\n{"type":"t.y"}\nno task\n')
    async with nats_server.connected("gateway") as bus, world(tmp_path, bus) as one:
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
        yield one


async def metamcp(*arguments: str) -> int:
    return await asyncio.to_thread(execute, list(arguments))


async def working(gateway: World) -> None:
    """End every task as soon as it is there; the second one fails."""
    async for batch in gateway.log.follow(("task.created.>",), START):
        for record in batch.records:
            if isinstance(record.fact, TaskCreated):
                task = record.fact.task
                outcome = Outcome.FAILED if task.endswith("-2") else Outcome.SUCCEEDED
                await gateway.append(facts.done(record.fact.user, task, outcome))


async def test_a_batch_is_sent_followed_and_shown_and_its_tasks_run_again(
    gateway: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = asyncio.create_task(working(gateway))

    def shown() -> Any:
        return json.loads(capsys.readouterr().out)

    try:
        send = ("submit", "--batch", "tasks.jsonl", "--id", "b", "--tag", "run=7")
        assert await metamcp(*send, "--wait", "--json") == Exit.FAILED
        told = shown()
        assert (told["accepted"]["accepted"], told["accepted"]["refused_count"]) == (2, 1)
        assert told["batch"]["by_status"] == {"failed": 1, "succeeded": 1}
        assert await metamcp(*send) == Exit.FAILED
        said = capsys.readouterr()
        assert said.out.strip() == "b"
        assert "3" in said.err
        assert "bad_request" in said.err
        stdin = SimpleNamespace(buffer=io.BytesIO(b'{"type":"t.x"}\n'))
        monkeypatch.setattr(sys, "stdin", stdin)
        assert await metamcp("submit", "--batch", "-", "--id", "c", "--wait") == Exit.OK
        assert "succeeded" in capsys.readouterr().out
        assert await metamcp("batch", "b", "--json") == Exit.OK
        assert shown()["total"] == 2
        assert await metamcp("batch", "--json") == Exit.OK
        assert [one["id"] for one in shown()["batches"]] == ["c", "b"]
        again = ("operations", "again", "--batch", "b", "--status", "failed", "--wait")
        assert await metamcp(*again, "--id", "redo", "--json") == Exit.OK
        assert shown()["done"] == 1
        assert (await gateway.log.last("task.created.alice.redo-1")) is not None
        assert await metamcp("tasks", "--tag", "run=7", "--json") == Exit.OK
        assert {one["id"] for one in shown()["tasks"]} == {"b-1", "b-2", "redo-1"}
        assert await metamcp("cancel", "b-1", "b-2", "--json") == Exit.OK
        assert shown()["total"] == 2
        assert await metamcp("operations", "--json") == Exit.OK
        assert len(shown()["operations"]) == 2
        assert await metamcp("operations", "show", "redo") == Exit.OK
        assert "1 done" in capsys.readouterr().out
        tag = ("operations", "tag", "--batch", "b", "--set", "a=b", "--wait")
        assert await metamcp(*tag, "--json") == Exit.OK
        assert shown()["done"] == 2
        assert await metamcp("operations", "stop", "redo") == Exit.REFUSED
        capsys.readouterr()
    finally:
        work.cancel()


@pytest.mark.parametrize(
    "words",
    ["submit", "submit t.x --batch f", "submit --batch none", "operations cancel", "cancel a b c!"],
)
async def test_what_says_too_little_or_too_much_is_refused_with_a_way_on(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(words.split()) == Exit.USAGE
    assert capsys.readouterr().err
