"""What others find of Alice's where tools are searched, or by a profile of hers: nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.gateway.mcp import search_tools
from services.gateway.mcp.own_list import OWN
from tests.unit.gateway.access.test_authorisation_mcp import (
    ALICE,
    AUDITOR,
    BOB,
    ERAS,
    TOOLS,
    about,
    agent,
    failed,
    one,
    result,
)
from tests.unit.gateway.alices import DONE, HOST, MARK, NONE, PUBLIC_HOST, seen
from tests.unit.gateway.world import World

__all__ = ("one",)

CASES: dict[str, list[dict[str, Any]]] = {
    "find_tools": [{"query": "NAME"}, {"query": "NAME echo", "limit": 20}],
    "describe_tool": [{"name": "NAME__echo"}, {"name": "alice__NAME__echo"}],
    "call_tool": [{"name": "NAME__echo", "arguments": {}}, {"name": "alice__NAME__echo"}],
}
"""NAME stands for a host of Alice's, or for nothing."""
ADDRESSES = ("/mcp?tools=search", f"/mcp?tools=search&hosts={HOST},{PUBLIC_HOST}")


async def test_every_tool_that_can_be_called_has_a_case(one: World) -> None:
    """Also one that is not listed: `TOOLS` and `CASES` are all there is beside hosts' tools."""
    door = one.site.door
    assert {tool.name for tool in search_tools.TOOLS} == set(CASES) == set(door._search.handlers)
    assert {tool.name for tool in OWN} == set(TOOLS) == set(door._own.handlers)


@pytest.mark.parametrize("at", ADDRESSES)
@pytest.mark.parametrize("era", ERAS)
async def test_nobody_finds_what_is_hers(one: World, era: str, at: str) -> None:
    head = await one.log.head()
    for token in (BOB, AUDITOR):
        async with agent(one, token, era) as his:
            his.at = at
            for tool, every in CASES.items():
                for given in every:
                    answers = [
                        await his.ask("tools/call", {"name": tool, "arguments": about(given, name)})
                        for name in (HOST, NONE)
                    ]
                    assert seen(answers[0], HOST) == seen(answers[1], NONE), (tool, given)
                    assert failed(answers[0]) == (tool != "find_tools")
    assert await one.log.head() == head


@pytest.mark.parametrize("era", ERAS)
async def test_own_tools_tell_no_more_at_any_address(one: World, era: str) -> None:
    """Nor where a profile for everybody names her host."""
    profile = {"hosts": [HOST, PUBLIC_HOST], "tools": "search"}
    path, everybody = "/api/profiles/for-all", {"everybody": "true"}
    asked = [(tool, given) for tool in TOOLS for given in TOOLS[tool] if tool != "submit_task"]
    async with one.http("admin-token") as admin, agent(one, BOB, era) as his:
        put = await admin.put(path, json=profile, params=everybody)
        assert put.status_code == 200, put.text
        head = await one.log.head()
        for his.at in (ADDRESSES[0], "/mcp/for-all"):
            for tool, given in asked:
                calls = [{"name": tool, "arguments": about(given, name)} for name in (DONE, NONE)]
                hers, none = [await his.ask("tools/call", call) for call in calls]
                assert seen(hers, DONE) == seen(none, NONE), (his.at, tool, given)
                assert failed(hers) == ("NAME" in json.dumps(given))
        assert await one.log.head() == head
        assert (await admin.delete(path, params=everybody)).status_code == 200


@pytest.mark.parametrize("era", ERAS)
async def test_she_finds_it(one: World, era: str) -> None:
    async with agent(one, ALICE, era) as hers:
        hers.at = "/mcp?tools=search"
        found = await hers.use("find_tools", {"query": f"{HOST} echo"})
        name = found["result"][0]["name"]
        assert name == f"{HOST}__echo"
        assert (await hers.use("describe_tool", {"name": name}))["name"] == name


async def test_a_profile_of_hers_is_not_there(one: World) -> None:
    async with one.http(ALICE) as client:
        path = f"/api/profiles/{MARK}"
        assert (await client.put(path, json={"hosts": [HOST]})).status_code == 200
    for token in (BOB, AUDITOR):
        async with agent(one, token, ERAS[1]) as his:
            found = []
            for name in (MARK, "nobodys"):
                his.at = f"/mcp/{name}"
                found.append(seen(await his.ask("tools/list", {}), name))
            assert found[0] == found[1]
            assert found[0].status == 404
    async with agent(one, ALICE, ERAS[1]) as hers:
        hers.at = f"/mcp/{MARK}"
        assert "echo" in json.dumps(result(await hers.ask("tools/list", {})))
