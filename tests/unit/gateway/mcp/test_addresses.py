"""What an address of the MCP server is about: hosts, and search in the place of a list."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import mcp_types as t
import pytest
from mcp import MCPError

from contracts.facts import TaskCreated
from services.gateway.mcp import names, own_list
from services.gateway.refusals import MCP
from tests.unit.gateway.mcp.test_door import ERAS, Mode, agent, echoed, ended, next_fact, register
from tests.unit.gateway.mcp_requests import ACCEPT, LEGACY, SESSION, VERSION, plain
from tests.unit.gateway.world import World

OWN = {tool.name for tool in own_list.OWN}
SEARCH = names.RESERVED - OWN
HELLO = {
    "protocolVersion": LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "x", "version": "1"},
}


async def listed(gateway: World, at: str, token: str = "alice-token") -> set[str]:
    """The tools of hosts that somebody is shown at an address."""
    async with agent(gateway, token, at=at) as client:
        return {tool.name for tool in (await client.list_tools()).tools} - OWN


@pytest.mark.parametrize("mode", ERAS)
async def test_what_is_not_selected_is_not_there(gateway: World, mode: Mode) -> None:
    for host in ("h1", "h2", "h3"):
        await register(gateway, host)
    async with agent(gateway, mode=mode, at="/mcp?hosts=h1,h2") as client:
        shown = {tool.name for tool in (await client.list_tools()).tools}
        assert shown - OWN == {"h1__echo", "h2__echo"}
        found = await client.call_tool("list_hosts", {})
        assert found.structured_content is not None
        assert [host["id"] for host in found.structured_content["result"]] == ["h1", "h2"]
        for none in ("h3__echo", "echo", "find_tools"):
            with pytest.raises(MCPError, match="there is no tool"):
                await client.call_tool(none, {})


@pytest.mark.parametrize("mode", ERAS)
async def test_the_tools_of_one_host_have_their_own_names(gateway: World, mode: Mode) -> None:
    await register(gateway)
    await register(gateway, "h2")
    async with agent(gateway, mode=mode, at="/mcp?hosts=h1") as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == OWN | {"echo"}
        calling = asyncio.create_task(client.call_tool("echo", {"text": "hi"}))
        created = await next_fact(gateway, TaskCreated)
        assert created.spec.host == "h1"
        await ended(gateway, created, echoed("hi"))
        assert (await calling).content == [t.TextContent(type="text", text="hi")]


async def test_a_name_alone_means_ones_own_host_where_the_operator_has_none(
    gateway: World,
) -> None:
    await register(gateway, "alice/mine", owner="alice")
    await register(gateway, "bob/mine", owner="bob")
    assert await listed(gateway, "/mcp?hosts=mine") == {"echo"}
    assert await listed(gateway, "/mcp?hosts=bob/mine") == set()
    assert await listed(gateway, "/mcp?hosts=*/mine") == {"alice__mine__echo"}
    await register(gateway, "mine")
    assert await listed(gateway, "/mcp?hosts=mine,x") == {"mine__echo"}


@pytest.mark.parametrize(
    ("at", "status", "why"),
    [
        ("/mcp/none", 404, "there is no profile none"),
        ("/mcp/none/more", 404, "there is no profile none/more"),
        ("/mcp/../x", 404, "there is nothing at"),
        ("/mcp?hosts=", 400, "hosts: expected 1 to"),
        (f"/mcp?hosts={',' * 5}{'a,' * 101}", 400, "hosts: expected 1 to"),
        ("/mcp?hosts=" + "a" * 200, 400, "hosts: none has more than"),
        ("/mcp/none?hosts=a", 400, "hosts: an address has"),
        ("/mcp?tools=some", 400, "tools: expected `all` or `search`"),
        ("/mcp?" + "x=1&" * 30, 400, "expected `hosts` and `tools`"),
    ],
)
async def test_an_address_that_means_nothing(
    gateway: World, at: str, status: int, why: str
) -> None:
    asked = plain("tools/list", {}, modern=True)
    async with gateway.http() as client:
        answer = await client.post(at, headers=asked.headers, content=asked.content)
    assert (answer.status_code, why in answer.text) == (status, True), answer.text


async def test_in_a_session_the_address_of_each_request_counts(gateway: World) -> None:
    await register(gateway)
    await register(gateway, "h2")
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    async with gateway.http() as client:
        begun = await client.post(f"{MCP}?hosts=h1", json=hello, headers=ACCEPT)
        headers = ACCEPT | {SESSION: begun.headers[SESSION], VERSION: LEGACY}
        told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await client.post(MCP, json=told, headers=headers)

        async def ask(at: str, method: str, **params: Any) -> Any:
            body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
            answer = await client.post(at, json=body, headers=headers)
            return json.loads(answer.text.strip().rpartition("data: ")[2])["result"]

        for hosts in (["h2"], ["h1"], ["h1", "h2"]):
            at = f"{MCP}?hosts={','.join(hosts)}"
            shown = {tool["name"] for tool in (await ask(at, "tools/list"))["tools"]} - OWN
            assert shown == ({"echo"} if len(hosts) == 1 else {"h1__echo", "h2__echo"})
            answer = await ask(at, "tools/call", name="list_hosts", arguments={})
            found = answer["structuredContent"]["result"]
            assert [host["id"] for host in found] == hosts


@pytest.mark.parametrize("mode", ERAS)
async def test_search_in_the_place_of_a_list(gateway: World, mode: Mode) -> None:
    await register(gateway)
    await register(gateway, "bob/mine", owner="bob")
    async with agent(gateway, mode=mode, at="/mcp?tools=search") as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == OWN | SEARCH
        found = await client.call_tool("find_tools", {"query": "say something again"})
        assert found.structured_content is not None
        (one,) = found.structured_content["result"]
        echo = {"name": "h1__echo", "description": "Say it again.", "host": "h1"}
        assert one == echo
        whole = await client.call_tool("describe_tool", {"name": one["name"]})
        assert whole.structured_content is not None
        assert whole.structured_content["inputSchema"]["properties"] == {"text": {"type": "string"}}
        given = {"name": one["name"], "arguments": {"text": "hi"}}
        calling = asyncio.create_task(client.call_tool("call_tool", given))
        created = await next_fact(gateway, TaskCreated)
        assert (created.spec.host, created.source) == ("h1", "mcp")
        await ended(gateway, created, echoed("hi"))
        assert (await calling).content == [t.TextContent(type="text", text="hi")]
        for none in ("bob__mine__echo", "none", "find_tools", "get_task"):
            for tool in ("describe_tool", "call_tool"):
                with pytest.raises(MCPError, match="there is no tool"):
                    await client.call_tool(tool, {"name": none})


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("find_tools", {}),
        ("find_tools", {"query": " "}),
        ("find_tools", {"query": "x" * 1001}),
        ("find_tools", {"query": "x", "limit": 0}),
        ("find_tools", {"query": "x", "limit": True}),
        ("describe_tool", {"name": 5}),
        ("call_tool", {"name": "h1__echo", "arguments": []}),
    ],
)
async def test_what_is_wrong_with_a_search_is_said(
    gateway: World, tool: str, given: dict[str, Any]
) -> None:
    async with agent(gateway, at="/mcp?tools=search") as client:
        answer = await client.call_tool(tool, given)
    assert answer.is_error is True
    assert isinstance(answer.content[0], t.TextContent)
    assert "expected" in answer.content[0].text
