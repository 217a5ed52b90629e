"""What tools say, through us and to a direct client: field by field, in both eras, and at the API.

What differs on purpose stands in docs/mcp.md, and here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import httpx2
import pytest
import pytest_asyncio
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult

from services.gateway.mcp.early import admitting
from tests.support.foreign import install, rich_mcp
from tests.support.system import System, system, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]
ROOT = Path(__file__).parents[2]
HOST = """
[hosts.{name}]
name = "{name}"
endpoint.kind = "stdio"
endpoint.command = {command}
endpoint.args = {args}
endpoint.cwd = {cwd}
endpoint.env = {env}
"""
ERAS = ("legacy", "auto")
Calls: TypeAlias = Sequence[tuple[str, dict[str, Any]]]
"""Tools and their arguments, in the order of the calls."""
RICH: Calls = [(name, {}) for name in rich_mcp.ANSWERS]
EVERYTHING: Calls = [
    ("echo", {"message": "hé\n\u2028"}),
    ("get-annotated-message", {"messageType": "error", "includeImage": True}),
    ("get-resource-links", {"count": 3}),
    ("get-resource-reference", {"resourceType": "Blob", "resourceId": 1}),
    ("get-structured-content", {"location": "Chicago"}),
    ("get-sum", {"a": 2, "b": 3}),
    ("get-tiny-image", {}),
    ("trigger-long-running-operation", {"duration": 0.1, "steps": 2}),
]
WRONG: Calls = [
    ("get-sum", {"a": "no number"}),
    ("get-structured-content", {}),
    ("get-resource-reference", {"resourceType": "Blob", "resourceId": -1}),
]
"""Arguments that its tools answer with an error."""


def rich() -> StdioServerParameters:
    args = ["-m", "tests.support.foreign.rich_mcp"]
    return StdioServerParameters(command=sys.executable, args=args, cwd=str(ROOT))


def everything() -> StdioServerParameters:
    """The reference server. Skips where npm can't bring it."""
    try:
        node = install.node()
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    script = "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
    program, args = str(node.home / "bin" / "node"), [str(node.folder / script), "stdio"]
    return StdioServerParameters(command=program, args=args, env={"PATH": node.path})


@contextlib.asynccontextmanager
async def serving(folder: Path, name: str, server: StdioServerParameters) -> AsyncIterator[System]:
    """An orchestrator with this host."""
    cwd = json.dumps(str(server.cwd or folder))
    pairs = (f"{key} = {json.dumps(value)}" for key, value in (server.env or {}).items())
    parts = {"command": json.dumps(server.command), "args": json.dumps(server.args), "cwd": cwd}
    parts["env"] = f"{{ {', '.join(pairs)} }}"
    extra = folder / "extra.toml"
    extra.write_text(HOST.format(name=name, **parts))
    async with system(folder, {"one": 4}, extra=extra, real=False) as running:

        async def healthy() -> bool:
            hosts = (await running.get("/api/mcps")).json()["data"]
            return {host["health"]["status"] for host in hosts} == {"healthy"}

        await until(healthy)
        yield running


async def unasked(_: Any, params: Any) -> ElicitResult:
    """Of a client that may be asked, as we may: some servers have more tools for it."""
    raise AssertionError(params)


@contextlib.asynccontextmanager
async def directly(server: StdioServerParameters) -> AsyncIterator[Client]:
    async with Client(stdio_client(server), elicitation_callback=unasked) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at_rich(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[System]:
    async with serving(tmp_path_factory.mktemp("rich"), "rich", rich()) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at_everything(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[System]:
    server = everything()
    async with serving(tmp_path_factory.mktemp("every"), "everything", server) as one:
        yield one


@contextlib.asynccontextmanager
async def through(
    one: System, mode: Literal["legacy", "auto"], **options: Any
) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {one.running.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
        Client(
            streamable_http_client(f"{one.url}/mcp", http_client=http), mode=mode, **options
        ) as client,
    ):
        yield client


def plain(found: Any) -> dict[str, Any]:
    """A message as it is on the wire, without what tells about the connection."""
    fields: dict[str, Any] = found.model_dump(mode="json", by_alias=True, exclude_none=True)
    fields.pop("resultType", None)
    meta = {k: v for k, v in fields.pop("_meta", {}).items() if "modelcontextprotocol" not in k}
    return fields | ({"_meta": meta} if meta else {})


async def listed(client: Client, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Every tool's own words, without those that differ on purpose."""
    tools: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            name, found = tool.name.removeprefix(prefix), plain(tool)
            if tool.name.startswith(prefix):
                tools[name] = found | {"name": name, "description": tool.description or ""}
        if not (cursor := page.next_cursor):
            return tools


def as_we_list(name: str, host: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    """The differences of docs/mcp.md, made on purpose."""
    kept = {key: value for key, value in tool.items() if key != "execution"}
    kept["description"] = f"{tool['description']}\n\n(on {host})".strip()
    kept.setdefault("annotations", {})
    if schema := kept.get("outputSchema"):
        kept["outputSchema"] = admitting(schema)
    return kept


async def check_list(one: System, server: StdioServerParameters, host: str) -> None:
    async with directly(server) as direct:
        theirs = await listed(direct)
    wanted = {
        name: as_we_list(name, host, tool)
        for name, tool in theirs.items()
        if tool.get("execution", {}).get("taskSupport") != "required"
    }
    async with through(one, "auto") as client:
        assert await listed(client, f"{host}__") == wanted


async def check_calls(
    one: System,
    server: StdioServerParameters,
    host: str,
    mode: Any,
    calls: Calls,
) -> set[bool]:
    """Compare answers; which of them were errors."""
    errors = set()
    async with directly(server) as direct, through(one, mode) as client:
        for tool, given in calls:
            theirs = plain(await direct.session.call_tool(tool, given))
            ours = plain(await client.session.call_tool(f"{host}__{tool}", given))
            assert ours == theirs, tool
            errors.add(bool(theirs["isError"]))
    return errors


async def test_tools_are_listed_as_they_describe_themselves(
    at_rich: System,
) -> None:
    await check_list(at_rich, rich(), "rich")
    host = (await at_rich.get("/api/mcps/rich")).json()["data"]
    assert host["instructions"] == rich_mcp.INSTRUCTIONS


@pytest.mark.parametrize("mode", ERAS)
async def test_answers_are_those_that_a_direct_client_gets(at_rich: System, mode: str) -> None:
    assert await check_calls(at_rich, rich(), "rich", mode, RICH) == {True, False}


async def test_a_json_rpc_error_is_told_as_an_error_of_the_tool(
    at_rich: System,
) -> None:
    async with directly(rich()) as direct:
        with pytest.raises(MCPError, match="not today"):
            await direct.session.call_tool("refuses", {})
    async with through(at_rich, "auto") as client:
        answer = plain(await client.session.call_tool("rich__refuses", {}))
    text = "JSON-RPC error -32050: not today"
    assert answer == {"content": [{"type": "text", "text": text}], "isError": True}


@pytest.mark.parametrize("tool", ["failing", "big_error"])
async def test_api_and_cli_give_an_error_whole(at_rich: System, tool: str) -> None:
    one = at_rich
    async with directly(rich()) as direct:
        theirs = plain(await direct.session.call_tool(tool, {}))
    task = await one.submit(host="rich", input={"tool": tool})
    view = await one.finished(task)
    assert (view["status"], view["error"]["code"]) == ("failed", "tool")
    assert view["result"]["kind"] == ("pointer" if tool == "big_error" else "inline")
    whole = (await one.get(f"/api/tasks/{task}/result")).json()
    assert whole["content"] == theirs["content"]
    assert whole["structured"] == theirs.get("structuredContent")
    assert whole.get("meta", {}) == theirs.get("_meta", {})
    assert whole["is_error"] is True
    command = (sys.executable, "-m", "services.cli", "result", task, "--json")
    variables = {"METAMCP_DATA": str(one.running.data), "METAMCP_URL": one.url}
    running = await asyncio.create_subprocess_exec(
        *command, env=os.environ | variables, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await running.communicate()
    assert running.returncode == 0
    assert json.loads(out) == whole


@pytest.mark.long
async def test_the_reference_server_is_listed_as_it_describes_itself(
    at_everything: System,
) -> None:
    await check_list(at_everything, everything(), "everything")


@pytest.mark.long
@pytest.mark.parametrize("mode", ERAS)
async def test_the_reference_server_answers_as_to_a_direct_client(
    at_everything: System, mode: str
) -> None:
    server = everything()
    for calls, error in ((EVERYTHING, False), (WRONG, True)):
        assert await check_calls(at_everything, server, "everything", mode, calls) == {error}


@pytest.mark.long
async def test_a_tool_that_must_be_a_task_says_why_it_can_not_be_called(
    at_everything: System,
) -> None:
    one = at_everything
    given = {"tool": "simulate-research-query", "arguments": {"topic": "x"}}
    view = await one.finished(await one.submit(host="everything", input=given))
    assert view["error"]["code"] == "bad_input"
    assert "as a task of MCP 2025-11-25 only" in view["error"]["message"]
