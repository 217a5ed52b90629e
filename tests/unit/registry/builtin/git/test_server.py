"""The server as a process of its own, and the children that it starts."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import TextContent

from services.process.child import alive
from services.registry.builtin.git import repository, sandbox
from services.registry.builtin.git.changes import ChangeTools
from services.registry.builtin.git.place import Folders
from services.registry.builtin.git.repository import OLDEST
from services.registry.builtin.git.server import server
from services.registry.builtin.git.tools import Git
from tests.unit.registry.builtin.git.world import GIT, Repo, Tools

NAMES = {
    *("check", "git_status", "git_log", "git_diff", "git_diff_unstaged", "git_diff_staged"),
    *("git_show", "git_blame", "git_branch", "git_grep"),
}


TAIL = shutil.which("tail")


def slow_git(folder: Path) -> Path:
    """A git that tells its process id and never ends; the configuration it reads at once."""
    path = folder / "git"
    path.write_text(
        f'#!/bin/sh\ncase "$1" in config) exec {GIT} "$@";; esac\n'
        f"echo $$ >> {folder}/pids\nexec {TAIL} -f /dev/null\n"
    )
    path.chmod(0o755)
    return path


async def pids(folder: Path, count: int) -> list[int]:
    """The process ids, once there are so many."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(FileNotFoundError):
                found = (folder / "pids").read_text().split()
                if len(found) >= count:
                    return [int(pid) for pid in found]
            await asyncio.to_thread(os.sched_yield)


async def test_every_tool_only_reads_and_says_what_it_takes() -> None:
    tools = await server(Git(GIT, Folders(()))).list_tools()
    assert {tool.name for tool in tools} == NAMES
    for tool in tools:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert tool.description
        assert tool.name == "check" or "repo_path" in tool.input_schema["required"]


async def test_a_call_ends_in_time_and_leaves_nobody(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit(a="1\n")
    monkeypatch.setattr(repository, "CALL_S", 0.3)
    slow = ChangeTools(Git(str(slow_git(tmp_path)), Folders((repo.path,))))
    with pytest.raises(ToolError, match=r"longer than 0\.3 s"):
        await slow.git_log(str(repo.path))
    assert not any(alive(pid) for pid in await pids(tmp_path, 1))


async def test_a_cancelled_call_leaves_nobody_and_holds_up_no_other(
    repo: Repo, root: Path, tmp_path: Path, tools: Tools
) -> None:
    repo.commit(a="1\n")
    slow = ChangeTools(Git(str(slow_git(tmp_path)), Folders((root,))))
    calls = [asyncio.create_task(slow.git_log(str(repo.path))) for _ in range(3)]
    running = await pids(tmp_path, 3)
    assert all(map(alive, running))
    assert (await tools("git_log", repo))["commits"]
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert not any(map(alive, running))


async def test_a_git_that_is_not_there_or_too_old(repo: Repo, tmp_path: Path) -> None:
    for program in ("git", str(tmp_path / "absent")):
        with contextlib.chdir(tmp_path), pytest.raises(ToolError, match="git can't be started"):
            await ChangeTools(Git(program, Folders((repo.path,)))).git_log(str(repo.path))
    with pytest.raises(ToolError, match="can't be started"):
        await Git(str(tmp_path / "absent"), Folders(())).check()
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho git version 2.31.9\n")
    old.chmod(0o755)
    with pytest.raises(ToolError, match=".".join(map(str, OLDEST))):
        await Git(str(old), Folders(())).check()


Ask = Callable[..., Awaitable[Any]]


@contextlib.asynccontextmanager
async def served(home: Path, *roots: Path, **more: str) -> AsyncIterator[Ask]:
    """The server as a process; the answer is its data, or its error's words."""
    arguments = ["-m", "services.registry.builtin.git.server", "--home", str(home), "--roots"]
    arguments += [str(root) for root in roots]
    environment = {"PATH": os.environ["PATH"], **more}
    parameters = StdioServerParameters(command=sys.executable, args=arguments, env=environment)

    async def ask(tool: str, repo: Repo | Path, **asked: Any) -> Any:
        path = repo.path if isinstance(repo, Repo) else repo
        arguments = {"repo_path": str(path), **asked} if tool != "check" else {}
        answer = await session.call_tool(tool, arguments)
        (content,) = answer.content
        assert isinstance(content, TextContent)
        return content.text if answer.is_error else answer.structured_content

    async with (
        stdio_client(parameters) as (reading, writing),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        yield ask


@pytest.mark.acceptance
async def test_the_whole_server_in_its_sandbox(repo: Repo, root: Path, tmp_path: Path) -> None:
    repo.commit("Täst", a="ä\n".encode("latin-1"))
    repo.write("a", "ö\n".encode("latin-1"))
    async with served(tmp_path / "home", root, LANG="de_DE", GIT_DIR="/nowhere") as ask:
        state = await ask("check", repo)
        landlock = sys.platform == "linux" and sandbox.version(ctypes.CDLL(None)) > 0
        assert (state["folders"], state["sandbox"]) == (1, landlock)
        diffs = await asyncio.gather(*(ask("git_diff", repo) for _ in range(4)))
        assert [diff["replaced"] for diff in diffs] == [2] * 4
        assert (await ask("git_log", repo))["commits"][0]["subject"] == "Täst"
        assert (await ask("git_blame", repo, path="a"))["lines_in_file"] == 1
        assert not (await ask("git_status", repo))["clean"]
        assert "outside" in await ask("git_log", tmp_path)
        assert "max_count" in await ask("git_log", repo, max_count=0)
        assert "1 to 1000" in await ask("git_grep", repo, pattern="x" * 1001)
    assert not list((tmp_path / "home").iterdir())


@pytest.mark.acceptance
async def test_no_git_outlives_the_server(repo: Repo, root: Path, tmp_path: Path) -> None:
    repo.commit(a="1\n")
    slow = slow_git(tmp_path)
    slow.write_text(f"#!/bin/sh\ncase $1 in --version) exec {GIT} $@;; esac\n{slow.read_text()}")
    async with served(tmp_path / "home", root, PATH=str(tmp_path)) as ask:
        call = asyncio.create_task(ask("git_log", repo))
        running = await pids(tmp_path, 1)
    assert not any(map(alive, running))
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


@pytest.mark.long
async def test_a_greedy_pattern_takes_no_more_memory_than_it_may(
    repo: Repo, root: Path, tmp_path: Path
) -> None:
    repo.commit(a="a\n")
    async with served(tmp_path / "home", root) as ask:
        pattern = "(" * 9 + "a{1,255}" + "){1,255}" * 9
        assert "could not search" in await ask("git_grep", repo, pattern=pattern, regex=True)
        assert (await ask("git_log", repo))["commits"], "and goes on"
