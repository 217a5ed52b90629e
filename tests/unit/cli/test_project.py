"""`metamcp project`, and tasks of projects and repositories, against a real gateway and a stand-in
of GitHub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.cli.app import execute
from services.cli.common import Exit
from tests.support.github.server import GitHubServer, github_server
from tests.support.nats import NatsServer
from tests.unit.gateway.world import SETTINGS, World, world

Captured = pytest.CaptureFixture[str]


@pytest.fixture
async def github() -> AsyncIterator[GitHubServer]:
    async with github_server() as server:
        yield server


@pytest.fixture
async def real(
    fresh_nats: NatsServer, github: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """A gateway; the client is alice, who is ann at GitHub."""
    monkeypatch.chdir(tmp_path)
    settings = msgspec.structs.replace(SETTINGS, github_url=github.url)
    async with fresh_nats.connected("gateway") as bus, world(tmp_path, bus, settings) as one:
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
        async with one.http() as client:
            await client.put("/api/accounts/github", json={"token": github.account("ann")})
        yield one


async def metamcp(*arguments: str) -> int:
    return await asyncio.to_thread(execute, list(arguments))


async def answered(capsys: Captured, *arguments: str) -> Any:
    """What a command says with --json."""
    capsys.readouterr()
    assert await metamcp(*arguments, "--json") == Exit.OK
    return json.loads(capsys.readouterr().out)


async def test_a_project_from_its_making_to_its_archive(real: World, capsys: Captured) -> None:
    assert await metamcp("project") == Exit.OK
    assert "no projects" in capsys.readouterr().out
    made = ["--repository", "ann/shop", "--description", "All of the shop"]
    assert await metamcp("project", "create", "shop", *made) == Exit.OK
    id_ = capsys.readouterr().out.strip()
    assert await metamcp("project", "list") == Exit.OK
    assert [word in capsys.readouterr().out for word in (id_,)] == [True]
    assert await metamcp("project", "add", "shop", "bob") == Exit.OK
    assert capsys.readouterr().out == "bob is viewer of shop\n"
    quota = ["--quota", "open_tasks=5", "--quota", "tasks_a_day=9"]
    assert await metamcp("project", "change", "shop", "--name", "the shop", *quota) == Exit.OK
    assert (await answered(capsys, "project", "change", id_, "--quota", "tasks_a_day="))[
        "limits"
    ] == {"open_tasks": 5}
    assert await metamcp("project", "show", "the shop") == Exit.OK
    shown = capsys.readouterr().out
    for words in ("the shop", id_, "All of the shop", "ann/shop", "alice", "bob", "0 of 5"):
        assert words in shown
    assert await metamcp("project", "members", id_) == Exit.OK
    assert capsys.readouterr().out.split() == ["user", "role", "alice", "owner", "bob", "viewer"]
    assert await answered(capsys, "project", "remove", id_, "bob") == [
        {"user": "alice", "role": "owner"}
    ]
    assert await metamcp("project", "archive", id_) == Exit.OK
    assert capsys.readouterr().out == "the shop is archived\n"
    assert await metamcp("project") == Exit.OK
    assert id_ not in capsys.readouterr().out
    assert (await answered(capsys, "project", "--archived"))["projects"][0]["id"] == id_
    assert (await answered(capsys, "project", "change", id_, "--reopen"))["archived"] is False


async def test_tasks_of_a_project_are_sent_listed_and_shown(
    real: World, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await metamcp("project", "create", "shop") == Exit.OK
    id_ = capsys.readouterr().out.strip()
    await metamcp("project", "add", id_, "bob")
    sent = await answered(capsys, "submit", "t.x", "{}", "--project", "shop")
    monkeypatch.setenv("METAMCP_TOKEN", "bob-token")
    for listing in (("tasks", "--project", "shop"), ("project", "tasks", "shop")):
        assert await metamcp(*listing) == Exit.OK
        head, row = capsys.readouterr().out.splitlines()
        assert head.split()[:3] == ["task", "user", "type"]
        assert row.split()[:3] == [sent["task"], "alice", "t.x"]
    assert await metamcp("project", "results", "shop") == Exit.OK
    assert "no results" in capsys.readouterr().out
    shown = await answered(capsys, "task", sent["task"], "--user", "alice")
    assert shown["task"]["project"] == id_
    assert await metamcp("task", sent["task"]) == Exit.REFUSED
    assert await metamcp("submit", "t.x", "{}", "--project", "shop") == Exit.REFUSED
    assert "you are a viewer of it" in capsys.readouterr().err
    assert await metamcp("project", "archive", "shop") == Exit.REFUSED
    assert await metamcp("project", "remove", "shop", "bob") == Exit.OK
    assert await metamcp("tasks", "--project", id_) == Exit.REFUSED
    assert f"there is no project {id_}" in capsys.readouterr().err


async def test_a_repository_is_scanned_by_its_name(
    real: World, github: GitHubServer, capsys: Captured
) -> None:
    repo = github.repo("ann", "app")
    first = repo.commit({"src/a.py": b"eval(input())\n", "b.txt": b"b"})
    repo.tags["v1"] = first.sha
    repo.commit({"src/a.py": b"safe\n"})
    scan = ["submit", "security_scan", '{"engines": ["semgrep"]}']
    sent = await answered(capsys, *scan, "--repo", "ann/app@v1", "--path", "src/")
    view = (await answered(capsys, "task", sent["task"]))["task"]
    assert view["spec"]["input"]["engines"] == ["semgrep"]
    assert view["spec"]["input"]["archive"]["files_from"] == {
        "repo": "ann/app",
        "revision": "v1",
        "paths": ["src"],
        "commit": first.sha,
        "files": 1,
        "size": 14,
    }
    assert await metamcp("submit", "security_scan", "--repo", "ann/none") == Exit.REFUSED
    assert "ann/none has no revision" in capsys.readouterr().err
    await metamcp("unlink", "github")
    assert await metamcp("submit", "security_scan", "--repo", "ann/app") == Exit.REFUSED
    assert "metamcp link github" in capsys.readouterr().err


async def test_of_two_of_one_name_the_id_is_asked_for(real: World, capsys: Captured) -> None:
    ids = [(await answered(capsys, "project", "create", "twin"))["id"] for _ in "12"]
    assert await metamcp("project", "show", "twin") == Exit.USAGE
    told = capsys.readouterr().err
    assert all(id_ in told for id_ in ids)


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "t", "--repo", "app"),
        ("submit", "t", "--repo", "a/b/c"),
        ("submit", "t", "--repo", "a/b@"),
        ("submit", "t", "--path", "src"),
        ("submit", "t", "--repo", "a/b", "--file", "."),
        ("submit", "t", '{"archive": {}}', "--repo", "a/b"),
        ("project", "change", "x"),
        ("project", "change", "x", "--quota", "tasks"),
        ("project", "change", "x", "--quota", "tasks=-1"),
        ("project", "add", "x", "a b"),
    ],
)
def test_what_makes_no_sense_is_never_sent(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAMCP_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("METAMCP_TOKEN", "t")
    assert execute(arguments) == Exit.USAGE
