"""The built-in hosts with their real servers: tree-sitter and git on this repository."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from contracts.facts import FailureKind
from contracts.host import Host
from services.executor.attempt.call import HostError
from services.executor.attempt.plan import BadInput
from services.executor.attempt.workspace import ForbiddenPath
from services.registry.builtin import pinned
from services.registry.manifests import manifest
from services.registry.manifests.manifest import Places
from tests.support.real_servers import Bench, bench

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
ROOT = Path(__file__).parents[2]
PINS = manifest.BUILTIN.parent / "constraints"
CODE_ANALYSIS = {"symbols", "complexity", "dependencies"}


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository, or its files in a new one where it has no history."""
    try:
        git(ROOT, "rev-parse", "HEAD")
    except subprocess.CalledProcessError:
        copy = tmp_path_factory.mktemp("repository")
        shutil.copytree(ROOT / "contracts", copy / "contracts")
        git(copy, "init", "--quiet")
        git(copy, "add", ".")
        git(copy, "commit", "--quiet", "--message", "The contracts")
        return copy
    return ROOT


@pytest.fixture(scope="module")
def hosts(data: Path, repository: Path) -> dict[str, Host]:
    return {host.id: host for host in manifest.load([], Places(data, (repository,)))}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    hosts: dict[str, Host], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Bench]]:
    """Both servers, probed and started once."""
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(bench(hosts[name], tmp_path_factory.mktemp(name)))
            for name in ("tree-sitter-mcp", "git-mcp")
        }


@pytest.fixture
def tree_sitter(running: dict[str, Bench]) -> Bench:
    """What a test says about the host is forgotten with it."""
    return copy.copy(running["tree-sitter-mcp"])


@pytest.fixture
def git_server(running: dict[str, Bench]) -> Bench:
    return copy.copy(running["git-mcp"])


async def test_code_analysis_of_a_file_of_this_repository(tree_sitter: Bench) -> None:
    text = (ROOT / "contracts" / "ids.py").read_text()
    result = await tree_sitter.run("code_analysis", {"files": {"ids.py": text}, "path": "ids.py"})
    outputs = {name: answer["structured"]["result"] for name, answer in result["outputs"].items()}
    assert outputs.keys() == CODE_ANALYSIS
    functions = {function["name"] for function in outputs["symbols"]["functions"]}
    assert functions == {"is_token", "check_token", "intake_task_id"}
    assert outputs["complexity"]["language"] == "python"
    assert outputs["complexity"]["function_count"] == 3
    assert "contracts.errors" in outputs["dependencies"]["module"]


async def test_every_example_of_tree_sitter_works(tree_sitter: Bench) -> None:
    for type_, binding in tree_sitter.host.task_types.items():
        assert await tree_sitter.run(type_, binding.example), type_


async def test_a_tree_is_as_deep_as_asked(tree_sitter: Bench) -> None:
    task = {"files": {"a.py": "def f():\n    return [1, [2, [3]]]\n"}, "path": "a.py"}
    shallow = await tree_sitter.run("ast_parsing", task | {"max_depth": 1})
    deep = await tree_sitter.run("ast_parsing", task | {"max_depth": 9, "include_text": True})
    trees = [msgspec.json.encode(result["structured"]) for result in (shallow, deep)]
    assert len(trees[0]) < len(trees[1])
    assert (b'"text"' in trees[0], b'"text"' in trees[1]) == (False, True)


async def test_the_server_forgets_every_attempts_files(tree_sitter: Bench) -> None:
    example = tree_sitter.host.task_types["code_analysis"].example
    await tree_sitter.run("code_analysis", example)
    with pytest.raises(HostError) as failure:
        await tree_sitter.run("code_analysis", example | {"path": "absent.py"})
    assert failure.value.kind is FailureKind.TOOL
    tree_sitter.open_all_tools()
    listed = await tree_sitter.run("mcp.call", {"tool": "list_projects_tool"})
    assert listed["structured"]["result"] == []


async def test_every_tool_that_users_may_call_is_there_and_knows_no_project(
    tree_sitter: Bench,
) -> None:
    listed = {tool.name: tool.input_schema["properties"] for tool in tree_sitter.host.tools}
    for name in tree_sitter.host.callable_tools or ():
        assert not {"project", "path", "name", "config_path"} & listed[name].keys(), name
    languages = await tree_sitter.run("mcp.call", {"tool": "list_languages", "arguments": {}})
    assert "python" in languages["structured"]["result"]["available"]


async def test_what_could_show_another_users_files_is_refused(tree_sitter: Bench) -> None:
    refused = {tool.name for tool in tree_sitter.host.tools} - {
        *(tree_sitter.host.callable_tools or ())
    }
    assert {"list_projects_tool", "get_file", "list_files", "find_text", "configure"} <= refused
    for tool in sorted(refused):
        with pytest.raises(BadInput, match="may not call"):
            await tree_sitter.run("mcp.call", {"tool": tool, "arguments": {"project": "x"}})


async def test_tree_sitter_may_not_leave_the_workspace(tree_sitter: Bench) -> None:
    outside = {"tool": "register_project_tool", "arguments": {"path": str(ROOT)}}
    tree_sitter.open_all_tools()
    with pytest.raises(HostError) as failure:
        await tree_sitter.run("mcp.call", outside)
    assert failure.value.kind is FailureKind.FORBIDDEN_PATH
    inside = {"files": {"a.py": "x = 1"}, "path": "../../../../../../etc/hostname"}
    with pytest.raises(HostError) as failure:
        await tree_sitter.run("code_analysis", inside)
    assert failure.value.kind is FailureKind.TOOL
    assert "outside project root" in failure.value.message


async def test_the_log_of_this_repository(git_server: Bench, repository: Path) -> None:
    result = await git_server.run("git_log", {"repo_path": str(repository), "max_count": 3})
    text = result["content"][0]["text"]
    commits = git(repository, "log", "-3", "--format=%H").split()
    assert commits
    assert [line.split()[1] for line in text.splitlines() if line.startswith("Commit: ")] == commits


async def test_every_example_of_git_works(git_server: Bench, repository: Path) -> None:
    for type_, binding in git_server.host.task_types.items():
        assert binding.example["repo_path"] == str(repository)
        result = await git_server.run(type_, binding.example)
        assert result["content"][0]["text"], type_


async def test_git_opens_nothing_outside_the_declared_roots(git_server: Bench) -> None:
    with pytest.raises(HostError) as failure:
        await git_server.run("git_log", {"repo_path": "/etc"})
    assert failure.value.kind is FailureKind.FORBIDDEN_PATH


async def test_git_tools_that_users_may_call_only_read(git_server: Bench) -> None:
    read_only = {tool.name for tool in git_server.host.tools if tool.read_only}
    assert set(git_server.host.callable_tools or ()) == read_only


async def test_a_bare_repository_made_of_task_files_is_not_opened(
    git_server: Bench, hostile: Path
) -> None:
    for tool in git_server.host.callable_tools or ():
        call = {"tool": tool, "arguments": {"repo_path": "r"}, "files": files_of(hostile / "r")}
        with pytest.raises(HostError) as failure:
            await git_server.run("mcp.call", call)
        assert failure.value.kind is FailureKind.FORBIDDEN_PATH
    assert not (hostile / "ran").exists()


async def test_a_repository_made_of_task_files_is_not_even_written(
    git_server: Bench, hostile: Path
) -> None:
    call = {"tool": "git_status", "arguments": {"repo_path": "one"}}
    with pytest.raises(ForbiddenPath, match="nothing may be named"):
        await git_server.run("mcp.call", call | {"files": files_of(hostile / "one")})
    git(hostile / "one", "status")
    assert (hostile / "ran").exists(), "it would have run"


async def test_a_bare_repository_in_the_folders_runs_nothing(
    git_server: Bench, hostile: Path
) -> None:
    git_server.host = msgspec.structs.replace(git_server.host, roots=(str(hostile),))
    extra = {"git_branch": {"branch_type": "all"}, "git_diff": {"target": "HEAD"}}
    for tool in git_server.host.callable_tools or ():
        arguments = {"repo_path": str(hostile / "r"), **extra.get(tool, {})}
        with contextlib.suppress(HostError):
            await git_server.run("mcp.call", {"tool": tool, "arguments": arguments})
    assert not (hostile / "ran").exists()


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A repository `one` and a bare one `r` whose configuration has a program that leaves `ran`."""
    git(tmp_path, "init", "--quiet", "one")
    (tmp_path / "one" / "a.txt").write_text("one")
    (tmp_path / "one" / ".gitattributes").write_text("* diff=evil filter=evil\n")
    git(tmp_path / "one", "add", ".")
    git(tmp_path / "one", "commit", "--quiet", "--message", "Trust me")
    (tmp_path / "one" / "a.txt").write_text("two")
    git(tmp_path, "clone", "--quiet", "--bare", "--template=", "one", "r")
    (tmp_path / "r" / "refs" / "heads" / ".keep").touch()
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    keys = "core.fsmonitor core.pager core.hooksPath diff.external diff.evil.textconv"
    for folder in ("one", "r"):
        for key in [*keys.split(), "diff.evil.command", "filter.evil.clean"]:
            git(tmp_path / folder, "config", key, str(program))
    return tmp_path


def files_of(folder: Path) -> dict[str, Any]:
    """A folder as a task would bring it along."""
    return {
        str(path.relative_to(folder.parent)): {
            "base64": base64.b64encode(path.read_bytes()).decode()
        }
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def one_pin(tmp_path: Path) -> Path:
    """The smallest package of the git server."""
    text = (PINS / "git.txt").read_text().replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if line.startswith("idna==")]
    pins = tmp_path / "one.txt"
    pins.write_text(line + "\n")
    return pins


@pytest.fixture
def wrong_pin(one_pin: Path) -> Path:
    """The same package with another hash."""
    pin, _, _ = one_pin.read_text().partition(" ")
    one_pin.write_text(f"{pin} --hash=sha256:{'0' * 64}\n")
    return one_pin


async def started(home: Path, pins: Path) -> tuple[int | None, str, str]:
    """How a program in an environment of these pins ends, and what it prints."""
    command = [sys.executable, pinned.__file__, "--home", str(home), "--pins", str(pins)]
    command += ["--", "python", "-c", "import idna; print(idna.__file__)"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, said = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, out.decode(), said.decode()


async def test_an_environment_is_built_once_for_all_who_ask(tmp_path: Path, one_pin: Path) -> None:
    home = tmp_path / "home"
    answers = await asyncio.gather(*(started(home, one_pin) for _ in range(3)))
    assert {code for code, _, _ in answers} == {0}, answers
    (place,) = {out.strip() for _, out, _ in answers}
    assert Path(place).is_relative_to(home)
    assert len(list(home.glob("one-*/.ready"))) == 1


async def test_a_package_with_another_hash_is_refused(tmp_path: Path, wrong_pin: Path) -> None:
    code, out, said = await started(tmp_path / "home", wrong_pin)
    assert (code, out) == (1, "")
    assert "python can't be installed" in said
    assert "hash" in said.lower()
    assert not list((tmp_path / "home").glob("one-*/.ready"))
