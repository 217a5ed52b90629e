"""Servers of others, through us and to a direct client, field by field and in both eras."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from mcp.client.stdio import StdioServerParameters

from services.registry.builtin import pinned
from services.registry.manifests import manifest
from tests.acceptance.test_faithful import ERAS, Calls, check_calls, check_list, serving
from tests.support.foreign import install
from tests.support.system import System

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]
SCOPED = "node_modules/@modelcontextprotocol"


class Other(NamedTuple):
    """A server of others, once for each of the two who call it, and what is asked of it."""

    direct: StdioServerParameters
    ours: StdioServerParameters
    calls: Calls
    errors: bool = True
    """Some of the answers are errors."""


def on_node(name: str, *args: str, **env: str) -> StdioServerParameters:
    node = install.node()
    script = node.folder / SCOPED / name / "dist" / "index.js"
    program = str(node.home / "bin" / "node")
    variables = {"PATH": node.path} | env
    return StdioServerParameters(command=program, args=[str(script), *args], env=variables)


def memory(folder: Path) -> Other:
    """It keeps what it is told, so each of the two has a memory of his own."""

    def one(name: str) -> StdioServerParameters:
        return on_node("server-memory", MEMORY_FILE_PATH=str(folder / f"{name}.jsonl"))

    ada = {"name": "Ada", "entityType": "person", "observations": ["wrote the first programm"]}
    engine = {"name": "Engine", "entityType": "machine", "observations": []}
    relation = {"from": "Ada", "to": "Engine", "relationType": "wrote for"}
    more = {"entityName": "Ada", "contents": ["liked hé and \U0001f600"]}
    nobody = {"entityName": "Nobody", "contents": ["x"]}
    return Other(
        one("direct"),
        one("ours"),
        [
            ("create_entities", {"entities": [ada, engine]}),
            ("create_relations", {"relations": [relation]}),
            ("add_observations", {"observations": [more]}),
            ("add_observations", {"observations": [nobody]}),
            ("read_graph", {}),
            ("search_nodes", {"query": "programm"}),
            ("open_nodes", {"names": ["Engine", "Nobody"]}),
            ("delete_relations", {"relations": [relation]}),
            ("delete_entities", {"entityNames": ["Ada", "Engine"]}),
            ("create_entities", {"entities": "none"}),
        ],
    )


def picture() -> bytes:
    """A PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


def filesystem(folder: Path) -> Other:
    place = folder / "files"
    (place / "inner").mkdir(parents=True)
    (place / "hé.txt").write_text("one\ntwo\nthree\n")
    (place / "inner" / "dot.png").write_bytes(picture())
    text, dot = str(place / "hé.txt"), str(place / "inner" / "dot.png")
    server = on_node("server-filesystem", str(place))
    edits = [{"oldText": "two", "newText": "zwei"}]
    return Other(
        server,
        server,
        [
            ("list_allowed_directories", {}),
            ("read_text_file", {"path": text}),
            ("read_text_file", {"path": text, "tail": 1}),
            ("read_media_file", {"path": dot}),
            ("read_multiple_files", {"paths": [text, str(place / "none")]}),
            ("list_directory", {"path": str(place)}),
            ("list_directory_with_sizes", {"path": str(place)}),
            ("directory_tree", {"path": str(place)}),
            ("search_files", {"path": str(place), "pattern": "**/*.png"}),
            ("write_file", {"path": str(place / "new"), "content": "\u2028"}),
            ("edit_file", {"path": text, "edits": edits, "dryRun": True}),
            ("create_directory", {"path": str(place / "more")}),
            ("read_text_file", {"path": str(place / "none")}),
            ("read_text_file", {"path": "/etc/hostname"}),
        ],
    )


def git(folder: Path) -> Other:
    place = folder / "repository"
    place.mkdir()
    names = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    date = {f"GIT_{who}_DATE": "2026-01-02T03:04:05Z" for who in ("AUTHOR", "COMMITTER")}
    (place / "a.txt").write_text("one\n")
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for command in (("init", "-b", "main"), ("add", "."), (*who, "commit", "-m", "hé")):
        env = os.environ | names | date
        subprocess.run(("git", *command), cwd=place, env=env, check=True, capture_output=True)
    (place / "a.txt").write_text("two\n")
    program = str(install.python("mcp-git.txt").parent / "mcp-server-git")
    server = StdioServerParameters(command=program, args=["--repository", str(place)])
    at = {"repo_path": str(place)}
    return Other(
        server,
        server,
        [
            ("git_status", at),
            ("git_diff_unstaged", at),
            ("git_diff_staged", at),
            ("git_diff", {**at, "target": "main"}),
            ("git_log", {**at, "max_count": 3}),
            ("git_show", {**at, "revision": "main"}),
            ("git_branch", {**at, "branch_type": "local"}),
            ("git_show", {**at, "revision": "none"}),
            ("git_log", {"repo_path": str(folder)}),
            ("git_log", {}),
        ],
    )


def tree_sitter(folder: Path) -> Other:
    pins = manifest.BUILTIN.parent / "constraints" / "tree-sitter.txt"
    program = pinned.environment(folder / "servers", pins) / "bin" / "mcp-server-tree-sitter"
    server = StdioServerParameters(command=str(program))
    python = {"language": "python"}
    return Other(
        server,
        server,
        [
            ("list_languages", {}),
            ("check_language_available", python),
            ("get_node_types", python),
            ("list_query_templates_tool", python),
            ("get_query_template_tool", {**python, "template_name": "functions"}),
            ("build_query", {**python, "patterns": ["functions"]}),
            ("get_node_types", {"language": "none such"}),
            ("get_node_types", {}),
        ],
    )


OTHERS: dict[str, Callable[[Path], Other]] = {
    one.__name__: one for one in (memory, filesystem, git, tree_sitter)
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=OTHERS)
async def other(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[str, Other, System]]:
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    try:
        found = OTHERS[name](folder)
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    host = name.replace("_", "-")
    async with contextlib.AsyncExitStack() as stack:
        yield host, found, await stack.enter_async_context(serving(folder, host, found.ours))


async def test_it_is_listed_as_it_describes_itself(other: tuple[str, Other, System]) -> None:
    host, found, running = other
    await check_list(running, found.direct, host)


@pytest.mark.parametrize("mode", ERAS)
async def test_it_answers_as_to_a_direct_client(
    other: tuple[str, Other, System], mode: str
) -> None:
    host, found, running = other
    errors = await check_calls(running, found.direct, host, mode, found.calls)
    assert errors == ({True, False} if found.errors else {False})
