"""The built-in host git-mcp as it ships: probed by the registry, called by the executor."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from contracts.facts import FailureKind
from services.executor.attempt.call import HostError
from services.executor.attempt.workspace import ForbiddenPath
from services.registry.manifests import manifest
from services.registry.manifests.manifest import Places
from tests.support.real_servers import Bench, bench

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]
SOLO = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    environment = os.environ | SOLO
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository `site` of two commits, whose latin-1 file is changed."""
    folder = tmp_path_factory.mktemp("root")
    site = folder / "site"
    git(folder, "init", "--quiet", "--initial-branch=main", "site")
    (site / "README.md").write_text("import this\n")
    (site / "latin.txt").write_bytes("Grüße\n".encode("latin-1") * 50)
    for message in ("One", "Two"):
        git(site, "add", ".")
        git(site, "commit", "--quiet", "--allow-empty", "--message", message)
    (site / "latin.txt").write_bytes("Größe\n".encode("latin-1") * 50)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(root: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """The server, probed and started once."""
    places = Places(tmp_path_factory.mktemp("data"), (root / "site", root))
    hosts = {host.id: host for host in manifest.load([], places)}
    async with bench(hosts["git-mcp"], tmp_path_factory.mktemp("git-mcp")) as one:
        yield one


@pytest.fixture
def served(running: Bench) -> Bench:
    """What a test says about the host is forgotten with it."""
    return copy.copy(running)


async def test_every_example_works(served: Bench, root: Path) -> None:
    for type_, binding in served.host.task_types.items():
        assert binding.example["repo_path"] == str(root / "site")
        result = await served.run(type_, binding.example)
        assert result["structured"]["truncated"] is False, type_
        assert result["content"][0]["text"], type_


async def test_the_log_is_gits_own(served: Bench, root: Path) -> None:
    result = await served.run("git_log", {"repo_path": str(root / "site"), "end": "now"})
    commits = git(root / "site", "log", "--format=%H").split()
    assert [one["id"] for one in result["structured"]["commits"]] == commits
    assert "ASCII" not in result["content"][0]["text"]


async def test_every_field_of_every_task_type_reaches_its_tool(served: Bench, root: Path) -> None:
    path = {"repo_path": str(root / "site")}
    head = git(root / "site", "rev-parse", "HEAD")
    given: dict[str, list[dict[str, Any]]] = {
        "git_log": [
            {"max_count": 1, "skip": 1, "start": "2 weeks ago", "revision": "HEAD~1..HEAD"},
            {"author": "Test", "message": "o", "paths": ["README.md"], "first_parent": True},
        ],
        "git_status": [{"untracked": "all", "ignored": True}],
        "git_diff": [
            {"target": "HEAD", "staged": True, "context_lines": 1},
            {"target": "HEAD~1...HEAD", "detail": "stat", "paths": ["latin.txt"]},
        ],
        "git_show": [
            {"revision": "HEAD:README.md"},
            {"revision": head, "context_lines": 0, "paths": ["README.md"], "detail": "name_only"},
        ],
        "git_blame": [{"path": "latin.txt", "revision": "main", "first_line": 2, "last_line": 3}],
        "git_branch": [
            {"branch_type": "all", "contains": head, "merged": head, "max_count": 1},
            {"not_merged": head},
        ],
        "git_grep": [
            {"pattern": "^Imp", "regex": True, "ignore_case": True, "revision": head},
            {"pattern": "this", "paths": ["README.md"], "context_lines": 2, "max_count": 1},
        ],
    }
    for type_, binding in served.host.task_types.items():
        answers = [await served.run(type_, path | one) for one in given[type_]]
        assert all(answer["structured"] for answer in answers)
        names = {name for one in given[type_] for name in one} | {"repo_path"}
        assert names == binding.input_schema["properties"].keys() - {"end"}, type_


async def test_a_dirty_latin_1_file_eight_times_beside_healthy_calls(
    served: Bench, root: Path
) -> None:
    path = {"repo_path": str(root / "site")}
    calls = [served.run("git_diff", path) for _ in range(8)]
    calls += [served.run("git_log", path) for _ in range(4)]
    answers = [answer["structured"] for answer in await asyncio.gather(*calls)]
    for answer in answers[:8]:
        (file,) = answer["files"]
        assert (file["path"], file["additions"], answer["replaced"]) == ("latin.txt", 50, 200)
    assert all(len(answer["commits"]) == 2 for answer in answers[8:])


async def test_what_is_outside_or_a_tasks_own_is_not_opened(served: Bench, root: Path) -> None:
    with pytest.raises(HostError) as failure:
        await served.run("git_log", {"repo_path": "/etc"})
    assert failure.value.kind is FailureKind.FORBIDDEN_PATH
    pointing = root / "pointing"
    pointing.mkdir()
    (pointing / ".git").write_text("gitdir: /etc\n")
    with pytest.raises(HostError) as failure:
        await served.run("git_log", {"repo_path": str(pointing)})
    assert failure.value.kind is FailureKind.TOOL
    assert "outside the folders of METAMCP_REGISTRY_ROOTS" in failure.value.message
    call = {"tool": "git_status", "arguments": {"repo_path": "mine"}}
    with pytest.raises(ForbiddenPath, match="nothing may be named"):
        await served.run("mcp.call", call | {"files": {"mine/.git/HEAD": "ref: refs/heads/x"}})


async def test_all_tools_are_open_and_read_only(served: Bench) -> None:
    read_only = {tool.name for tool in served.host.tools if tool.read_only}
    assert set(served.host.callable_tools or ()) == read_only
    assert len(served.host.tools) == len(read_only)
    used = {step.tool for kind in served.host.task_types.values() for step in kind.steps}
    assert used < read_only


async def test_no_tool_runs_what_a_repository_names(
    served: Bench, tmp_path: Path, root: Path
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    git(root, "clone", "--quiet", "--template=", "site", "hostile")
    hostile = root / "hostile"
    (hostile / ".gitattributes").write_text("* diff=evil filter=evil\n")
    (hostile / "README.md").write_text("changed\n")
    git(root, "clone", "--quiet", "--bare", "--template=", "site", "bare")
    names = "core.fsmonitor core.pager core.hooksPath diff.external diff.evil.textconv"
    for folder in (hostile, root / "bare"):
        for key in [*names.split(), "diff.evil.command", "filter.evil.clean"]:
            git(folder, "config", key, str(program))
    more = {"git_blame": {"path": "README.md"}, "git_grep": {"pattern": "x"}}
    for folder in (hostile, root / "bare"):
        for tool in sorted(set(served.host.callable_tools or ()) - {"check"}):
            arguments = {"repo_path": str(folder), **more.get(tool, {})}
            with contextlib.suppress(HostError):
                await served.run("mcp.call", {"tool": tool, "arguments": arguments})
    assert not (tmp_path / "ran").exists()
    git(hostile, "status")
    assert (tmp_path / "ran").exists(), "it would have run"


async def test_without_named_folders_nothing_is_read(tmp_path: Path, root: Path) -> None:
    host = next(one for one in manifest.load([], Places(tmp_path)) if one.id == "git-mcp")
    assert host.roots == ()
    async with bench(host, tmp_path) as one:
        one.host = msgspec.structs.replace(one.host, roots=(str(root),))
        with pytest.raises(HostError, match="METAMCP_REGISTRY_ROOTS"):
            await one.run("git_log", {"repo_path": str(root / "site")})
