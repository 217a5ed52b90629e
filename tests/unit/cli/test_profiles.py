"""`metamcp profiles` against a real gateway; what makes no sense is never sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.cli.app import execute
from services.cli.common import Exit
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, world

Captured = pytest.CaptureFixture[str]


@pytest.fixture
async def real(
    fresh_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """A gateway; the client is alice."""
    monkeypatch.chdir(tmp_path)
    async with fresh_nats.connected("gateway") as bus, world(tmp_path, bus) as one:
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
        yield one


async def profiles(*arguments: str) -> int:
    return await asyncio.to_thread(execute, ["profiles", *arguments])


async def test_a_profile_from_its_making_to_its_end(
    real: World, capsys: Captured, tmp_path: Path
) -> None:
    assert await profiles() == Exit.OK
    assert "no profiles" in capsys.readouterr().out
    chosen = ["--host", "git", "--host", "f*", "--without", "git=git_reset", "--search"]
    chosen += ["--only", "f*=read*", "--approve", "write_*", "--approve", "destructive"]
    assert await profiles("set", "review", *chosen) == Exit.OK
    assert capsys.readouterr().out == "agents are shown it at /mcp/review\n"
    assert await profiles() == Exit.OK
    assert capsys.readouterr().out.splitlines()[1].split() == ["review", "alice", "git,", "f*"]
    assert await profiles("show", "review") == Exit.OK
    shown = capsys.readouterr().out
    assert json.loads(shown) == {
        "hosts": ["git", "f*"],
        "only": {"f*": ["read*"]},
        "without": {"git": ["git_reset"]},
        "approve": ["write_*", "destructive"],
        "tools": "search",
    }
    (tmp_path / "it.json").write_text(shown)
    assert await profiles("set", "copy", "--file", "it.json") == Exit.OK
    assert await profiles("remove", "review") == Exit.OK
    assert await profiles("remove", "review") == Exit.REFUSED
    assert "there is no profile review" in capsys.readouterr().err
    assert await profiles("list", "--json") == Exit.OK
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["copy"]


async def test_a_profile_of_a_project_and_for_everybody(
    real: World, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await asyncio.to_thread(execute, ["project", "create", "shop"]) == Exit.OK
    assert await profiles("set", "x", "--host", "a", "--project", "shop") == Exit.OK
    assert await profiles("show", "x", "--project", "shop") == Exit.OK
    assert await profiles("set", "x", "--host", "b", "--everybody") == Exit.REFUSED
    monkeypatch.setenv("METAMCP_TOKEN", "admin-token")
    assert await profiles("set", "x", "--host", "b", "--everybody") == Exit.OK
    capsys.readouterr()
    assert await profiles("show", "x", "--everybody", "--json") == Exit.OK
    assert json.loads(capsys.readouterr().out)["hosts"] == ["b"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "x"],
        ["set", "x", "--only", "git"],
        ["set", "x", "--without", "=t"],
        ["set", "x", "--host", "a", "--file", "f.json"],
        ["set", "a.b", "--host", "a"],
        ["show", "a/b"],
    ],
)
def test_what_makes_no_sense(arguments: list[str]) -> None:
    assert execute(["profiles", *arguments]) == Exit.USAGE
