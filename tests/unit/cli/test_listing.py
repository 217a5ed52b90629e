"""Tasks filtered, counted, written out, tagged and repeated from the command line."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.cli.app import execute
from services.cli.common import Exit
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, made, world

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


async def printed(capsys: Captured, *arguments: str, code: Exit = Exit.OK) -> str:
    capsys.readouterr()
    assert await asyncio.to_thread(execute, list(arguments)) == code
    return capsys.readouterr().out


async def test_tasks_are_tagged_found_and_repeated(real: World, capsys: Captured) -> None:
    out = await printed(capsys, "submit", "t.x", '{"a":1}', "--id", "t1", "--tag", "run=7")
    assert out.strip() == "t1"
    async with real.http() as client:
        await made(client, id="t2")
    await real.append(facts.done("alice", "t1"))
    tagged = json.loads(await printed(capsys, "tag", "t1", "by=ann", "--json"))
    assert tagged == {"task": "t1", "tags": {"run": "7", "by": "ann"}}
    assert "by=ann" in await printed(capsys, "tag", "t1", "--remove", "run")
    assert "run=7" not in await printed(capsys, "tag", "t1")
    assert "tags by=ann" in await printed(capsys, "task", "t1")
    found = json.loads(await printed(capsys, "tasks", "--tag", "by", "--over", "--json"))
    assert [row["id"] for row in found["tasks"]] == ["t1"]
    for options in (
        ["--created-before", "1h"],
        ["--text", "t9"],
        ["--host", "h"],
        ["--shorter", "0"],
    ):
        assert "no tasks" in await printed(capsys, "tasks", *options)
    again = ["again", "t1", "--id", "t3", "--set", "priority=high", "--input", '{"b":2}']
    assert (await printed(capsys, *again)).strip() == "t3"
    head = await printed(capsys, "task", "t3")
    assert "repeats t1" in head
    async with real.http() as client:
        spec = (await client.get("/api/tasks/t3")).json()["data"]["spec"]
    assert (spec["input"], spec["priority"], spec["tags"]) == ({"b": 2}, "high", {"by": "ann"})
    counts = json.loads(await printed(capsys, "tasks", "--counts", "--json"))
    assert (counts["total"], counts["by_status"]["succeeded"]) == (3, 1)
    for wrong in (
        ["tag", "t1", "x"],
        ["again", "t1", "--set", "x"],
        ["tasks", "--counts", "--export", "csv"],
    ):
        await printed(capsys, *wrong, code=Exit.USAGE)


async def test_a_list_is_printed_as_lines(
    real: World, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    async with real.http() as client:
        for n in range(3):
            await made(client, id=f"t{n}", tags={"n": str(n)})
    assert await asyncio.to_thread(execute, ["tasks", "--export", "csv", "--tag", "n=1"]) == Exit.OK
    (line,) = csv.DictReader(io.StringIO(capfdbinary.readouterr().out.decode()))
    assert (line["id"], line["tags"]) == ("t1", '{"n":"1"}')
