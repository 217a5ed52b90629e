"""`metamcp results` against a real gateway and results service."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.result import DatasetTasks, DatasetTasksRequest, inline
from services.cli.app import execute
from services.cli.common import Exit
from tests.support.nats import NatsServer
from tests.unit.cli.gateway import Gateway
from tests.unit.cli.kept import DATA, TASK, Site, content, keeping_site, metamcp, parts


@pytest.fixture
async def site(
    fresh_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    async with keeping_site(fresh_nats, tmp_path, monkeypatch) as found:
        yield found


async def test_results_are_listed_described_verified_and_deleted(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await metamcp("results") == Exit.OK
    assert capsys.readouterr().out == "no results\n"
    await site.finished("small", inline(b'{"x":1}'))
    pointer = await site.stored()
    await site.finished("large", pointer)
    assert await metamcp("results") == Exit.OK
    head, large, small, total = capsys.readouterr().out.splitlines()
    assert head.split()[:6] == ["task", "where", "size", "type", "created", "host"]
    assert large.split()[:5] == ["large", "object_store", "2.0", "MB", "image/png"]
    assert small.split()[:5] == ["small", "inline", "7", "bytes", "application/json"]
    assert total == "2 results, 2.0 MB"
    assert await metamcp("results", "large") == Exit.OK
    described = capsys.readouterr().out
    assert pointer.uri in described
    assert pointer.sha256 in described
    assert await metamcp("results", "verify", "large") == Exit.OK
    assert f"all {len(DATA)} bytes were read" in capsys.readouterr().out
    assert await metamcp("results", "delete", "large", "--reason", "no more") == Exit.OK
    assert capsys.readouterr().out == "the result of large is deleted: no more\n"
    assert await site.keeper._projection.reached(await site.world.log.head(), 30)
    assert await metamcp("results", "--deleted") == Exit.OK
    assert "no more" in capsys.readouterr().out.splitlines()[1]
    assert await metamcp("result", "large", "-o", "file") == Exit.REFUSED
    assert "no more" in capsys.readouterr().err
    assert parts() == []
    assert content("file") is None


async def test_pages_are_followed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("a", "b", "c"):
        await site.finished(task, inline(b"1"))

    async def listed(*arguments: str) -> Any:
        assert await metamcp("results", *arguments, "--json") == Exit.OK
        return json.loads(capsys.readouterr().out)

    first = await listed("--limit", "2")
    assert [kept["task"] for kept in first["results"]] == ["c", "b"]
    assert (first["total"], first["size"]) == (3, 3)
    second = await listed("--cursor", str(first["next_cursor"]))
    assert [kept["task"] for kept in second["results"]] == ["a"]
    every = await listed("--limit", "1", "--all")
    assert [kept["task"] for kept in every["results"]] == ["c", "b", "a"]
    assert every["next_cursor"] is None
    for arguments, found in (
        ("--kind object_store", []),
        ("--host h1 --kept --since 1d", ["c", "b", "a"]),
        ("--until 2000-01-01", []),
        ("--deleted", []),
    ):
        kept = (await listed(*arguments.split()))["results"]
        assert [one["task"] for one in kept] == found, arguments
    assert await metamcp("results", "--limit", "2") == Exit.OK
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "2 of 3 results, 3 bytes"
    assert f"--cursor {first['next_cursor']}" in printed.err


async def test_tasks_of_the_dataset(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--status", "succeeded", "--limit", "7", "--offset", "2"]
    assert await metamcp("results", "tasks", *options) == Exit.OK
    where, head, row = capsys.readouterr().out.splitlines()
    assert "ann/metamcp-results" in where
    assert head.split()[:3] == ["task", "type", "status"]
    assert row.split()[:3] == ["t1", "work", "succeeded"]
    assert site.asked_tasks == [DatasetTasksRequest("alice", 7, 2, "succeeded")]
    assert await metamcp("results", "tasks", "--json") == Exit.OK
    found = msgspec.json.decode(capsys.readouterr().out, type=DatasetTasks)
    assert found.tasks == (TASK,)


async def test_what_is_not_there_is_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["none"], ["verify", "none"], ["delete", "none"]):
        assert await metamcp("results", *arguments) == Exit.REFUSED
        assert capsys.readouterr().err.startswith("error: ")
    assert await metamcp("result", "none", "-o", "file") == Exit.REFUSED
    assert parts() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["results", "a.b"],
        ["results", "--deleted", "--kept"],
        ["results", "--kind", "cloud"],
        ["results", "--since", "yesterday-ish"],
        ["results", "--host", "a b"],
        ["results", "--limit", "many"],
        ["results", "t1", "--kept"],
        ["results", "delete"],
        ["results", "verify", "../x"],
        ["results", "tasks", "x"],
        ["result", "a/b", "-o", "file"],
    ],
)
def test_what_makes_no_sense_is_never_sent(
    known: Gateway, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(arguments) == Exit.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert known.asked == []


@pytest.mark.parametrize("name", ["delete", "verify", "tasks"])
def test_each_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["results", name, "--help"]) == Exit.OK
    assert "--json" in capsys.readouterr().out
