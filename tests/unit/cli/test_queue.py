"""`metamcp queue`: places, reasons and workers, as the gateway tells them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.subjects import command
from services.bus.all import answer_all
from services.cli.common import Exit
from tests.support.nats import NatsServer
from tests.unit.cli.kept import metamcp
from tests.unit.gateway.http.test_overview import active, idle
from tests.unit.gateway.world import World, world


@pytest.fixture
async def site(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.chdir(tmp_path)
    async with nats_server.connected("gateway") as bus, world(tmp_path, bus) as running:
        monkeypatch.setenv("METAMCP_URL", running.url)
        monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
        yield running


async def test_places_reasons_and_routers_are_shown(
    site: World, nats_server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with nats_server.connected("router") as first, nats_server.connected("router") as second:
        await answer_all(first, command("router", "queue"), active)
        await answer_all(second, command("router", "queue"), idle)
        assert await metamcp("queue") == Exit.OK
        shown = capsys.readouterr().out
        assert await metamcp("queue", "--limit", "1", "--json") == Exit.OK
        found = json.loads(capsys.readouterr().out)
        assert await metamcp("queue", "--limit", "0") == Exit.USAGE
    for words in ("t1", "t3", "a slot of h1", "2 in the queue of 3 in all", "4 in flight at 8"):
        assert words in shown
    assert "t2" not in shown
    assert "router-2" in shown
    assert "stands by" in shown
    assert [one["task"] for one in found["tasks"]] == ["t1"]
    assert [one["active"] for one in found["routers"]] == [False, True]


async def test_without_a_router_it_says_so(site: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert await metamcp("queue") == Exit.UNREACHABLE
    assert "no router tells its queue" in capsys.readouterr().err
