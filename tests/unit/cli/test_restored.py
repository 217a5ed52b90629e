"""`metamcp restored` against a real gateway, and what stands for two routers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.restored import AfterRestore, KnownBefore, Restored, RestoredRequest, RestoredTask
from contracts.subjects import command
from services.bus.all import answer_all
from services.cli.app import execute
from services.cli.common import Exit
from tests.support.nats import NatsServer
from tests.unit.gateway.world import world

KNOWS = Restored(
    waits=True,
    ended=2,
    begun=1,
    tasks=(
        RestoredTask("alice", "t1", "work", 7, 1e9, KnownBefore.ENDED),
        RestoredTask("bob", "t2", "work", 8, 1e9, KnownBefore.ENDED),
        RestoredTask("bob", "t3", "work", 9, 1e9, KnownBefore.BEGUN),
    ),
)


@pytest.fixture
async def decided(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[AfterRestore]]:
    """The decisions that have arrived. One router has a view of the past, the other knows none."""
    monkeypatch.chdir(tmp_path)
    taken: list[AfterRestore] = []

    async def knows(payload: bytes) -> bytes:
        request = msgspec.json.decode(payload, type=RestoredRequest)
        if request.decision is not None:
            taken.append(request.decision)
        return msgspec.json.encode(Restored() if taken else KNOWS)

    async def new(_: bytes) -> bytes:
        return msgspec.json.encode(Restored())

    async with (
        nats_server.connected("gateway") as bus,
        nats_server.connected("router") as one,
        nats_server.connected("router") as other,
        world(tmp_path, bus) as running,
    ):
        await answer_all(one, command("router", "restored"), knows)
        await answer_all(other, command("router", "restored"), new)
        monkeypatch.setenv("METAMCP_URL", running.url)
        monkeypatch.setenv("METAMCP_TOKEN", "admin-token")
        yield taken


async def restored(*arguments: str) -> int:
    return await asyncio.to_thread(execute, ["restored", *arguments])


def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("word", "decision"), [("go-on", "go_on"), ("end", "end")])
async def test_the_operator_lists_and_decides(
    decided: list[AfterRestore], capsys: pytest.CaptureFixture[str], word: str, decision: str
) -> None:
    assert await restored("--json") == Exit.OK
    assert shown(capsys) == json.loads(msgspec.json.encode(KNOWS))
    assert await restored() == Exit.OK
    said = capsys.readouterr()
    assert "had got further" in said.out
    assert "2 tasks that had ended are open again, 1 others" in said.err
    assert await restored(word) == Exit.OK
    assert "3 tasks" in capsys.readouterr().out
    assert decided == [decision]
    assert await restored(word) == Exit.OK
    assert "nothing to decide" in capsys.readouterr().out


async def test_nobody_else_may(
    decided: list[AfterRestore], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in ("alice-token", "auditor-token", "no-token"):
        monkeypatch.setenv("METAMCP_TOKEN", token)
        for words in ((), ("end",), ("go-on",)):
            assert await restored(*words) == Exit.REFUSED
            assert "t1" not in capsys.readouterr().out
    assert decided == []
