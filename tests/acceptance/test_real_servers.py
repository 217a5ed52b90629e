"""The built-in tree-sitter-mcp with its real server, and the environments that servers get."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.facts import FailureKind
from contracts.host import Host
from services.executor.attempt.call import HostError
from services.executor.attempt.plan import BadInput
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


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def hosts(data: Path) -> dict[str, Host]:
    return {host.id: host for host in manifest.load([], Places(data))}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    hosts: dict[str, Host], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Bench]]:
    """The server, probed and started once."""
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(bench(hosts[name], tmp_path_factory.mktemp(name)))
            for name in ("tree-sitter-mcp",)
        }


@pytest.fixture
def tree_sitter(running: dict[str, Bench]) -> Bench:
    """What a test says about the host is forgotten with it."""
    return copy.copy(running["tree-sitter-mcp"])


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


@pytest.fixture
def one_pin(tmp_path: Path) -> Path:
    """A small package of the tree-sitter server."""
    text = (PINS / "tree-sitter.txt").read_text().replace("\\\n", " ")
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
