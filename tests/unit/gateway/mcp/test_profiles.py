"""Profiles: who sets them, what their names mean, and what agents are shown by them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from mcp import MCPError

from contracts.errors import Rejected
from contracts.facts import TaskCreated
from contracts.subjects import ACCOUNTS_BUCKET
from contracts.task import TaskSpec
from services.gateway.people import profiles as kept
from services.gateway.people.profiles import Profile, Profiles
from services.gateway.people.projects import Projects
from services.gateway.people.state import PeopleState
from services.store.kv import Bucket
from tests.unit.gateway.mcp.test_addresses import OWN, SEARCH, listed
from tests.unit.gateway.mcp.test_door import ERAS, Mode, agent, echoed, ended, next_fact, register
from tests.unit.gateway.mcp.test_list_changed import listening, removed
from tests.unit.gateway.mcp_requests import plain
from tests.unit.gateway.world import World

ALICE, BOB, ADMIN = "alice-token", "bob-token", "admin-token"
CHANGE = {"host": "h2", "tool": "echo", "name": "say", "description": "What I call it."}


@pytest.fixture(autouse=True)
async def no_profiles(gateway: World) -> AsyncIterator[None]:
    """Take away what others have left: a bucket outlives its tests."""
    await forget(gateway)
    yield
    await forget(gateway)


async def forget(gateway: World) -> None:
    profiles = gateway.site.parts.profiles
    await profiles.refresh()
    for key in list(profiles._table.held):
        await profiles._table.delete(key)


async def put(gateway: World, token: str, name: str, body: Any, **where: str) -> httpx.Response:
    async with gateway.http(token) as client:
        return await client.put(f"/api/profiles/{name}", json=body, params=where)


async def has(gateway: World, token: str, name: str, body: Any, **where: str) -> None:
    answer = await put(gateway, token, name, body, **where)
    assert answer.status_code == 200, answer.text


async def project_of(gateway: World, *members: str) -> str:
    """Make a project of Alice's."""
    async with gateway.http(ALICE) as client:
        made = (await client.post("/api/projects", json={"name": "shop"})).json()["data"]["id"]
        for user in members:
            path = f"/api/projects/{made}/members/{user}"
            assert (await client.put(path, json={"role": "viewer"})).status_code == 200
    return str(made)


async def at(gateway: World, token: str, path: str) -> tuple[int, str]:
    """What somebody is answered at an address of the MCP server."""
    asked = plain("tools/list", {}, modern=True)
    async with gateway.http(token) as client:
        answer = await client.post(path, headers=asked.headers, content=asked.content)
    return answer.status_code, answer.text


@pytest.mark.parametrize("mode", ERAS)
async def test_a_profile_of_ones_own(gateway: World, mode: Mode) -> None:
    for host in ("h1", "h2", "g3"):
        await register(gateway, host)
    body = {"hosts": ["h*"], "without": {"h1": ["e*"]}, "changes": [CHANGE], "description": "x"}
    await has(gateway, ALICE, "mine", body)
    async with agent(gateway, mode=mode, at="/mcp/mine") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) - OWN == {"say"}
        assert tools["say"].description == "What I call it.\n\n(on h2)"
        calling = asyncio.create_task(client.call_tool("say", {"text": "hi"}))
        created = await next_fact(gateway, TaskCreated)
        assert created.spec.host == "h2"
        await ended(gateway, created, echoed("hi"))
        assert not (await calling).is_error
        for none in ("h1__echo", "g3__echo"):
            with pytest.raises(MCPError, match="there is no tool"):
                await client.call_tool(none, {})
        found = await client.call_tool("list_hosts", {})
        assert found.structured_content is not None
        shown = {host["id"]: host["tools"] for host in found.structured_content["result"]}
        assert shown == {"h1": [], "h2": ["echo"]}
    status, text = await at(gateway, BOB, "/mcp/mine")
    assert (status, "there is no profile mine" in text) == (404, True)


async def test_a_profile_that_searches(gateway: World) -> None:
    await register(gateway)
    await register(gateway, "h2")
    await has(gateway, ALICE, "mine", {"hosts": ["h2"], "tools": "search"})
    assert await listed(gateway, "/mcp/mine") == SEARCH
    assert await listed(gateway, "/mcp/mine?tools=all") == {"echo"}
    async with agent(gateway, at="/mcp/mine") as client:
        found = await client.call_tool("find_tools", {"query": "say something again"})
        assert found.structured_content is not None
        assert [one["name"] for one in found.structured_content["result"]] == ["echo"]


async def test_ones_own_goes_before_everybodys_and_that_before_a_projects(gateway: World) -> None:
    for host in ("h1", "h2", "h3"):
        await register(gateway, host)
    project = await project_of(gateway, "bob")
    await has(gateway, ALICE, "one", {"hosts": ["h3", "x"]}, project=project)
    assert await listed(gateway, "/mcp/one", BOB) == {"h3__echo"}
    await has(gateway, ADMIN, "one", {"hosts": ["h2", "x"]}, everybody="true")
    assert await listed(gateway, "/mcp/one", BOB) == {"h2__echo"}
    await has(gateway, BOB, "one", {"hosts": ["h1", "x"]})
    assert await listed(gateway, "/mcp/one", BOB) == {"h1__echo"}
    assert await listed(gateway, "/mcp/one", ALICE) == {"h2__echo"}
    async with gateway.http(BOB) as bob:
        mine = (await bob.get("/api/profiles")).json()["data"]
        assert [one["hosts"][0] for one in mine] == ["h1", "h2", "h3"]
        for where, host in (({}, "h1"), ({"everybody": True}, "h2"), ({"project": project}, "h3")):
            found = await bob.get("/api/profiles/one", params=where)
            assert found.json()["data"]["hosts"][0] == host


async def test_who_may_not_set_a_profile(gateway: World) -> None:
    project = await project_of(gateway, "bob")
    refused = [
        (BOB, {"everybody": "true"}, 403),
        (BOB, {"project": project}, 403),
        (BOB, {"project": "none"}, 404),
        (ALICE, {"project": project, "everybody": "true"}, 400),
    ]
    for token, where, status in refused:
        assert (await put(gateway, token, "x", {}, **where)).status_code == status
        async with gateway.http(token) as client:
            answer = await client.delete("/api/profiles/x", params=where)
        assert answer.status_code == status
    assert gateway.site.parts.profiles._at == {}


async def test_the_only_profile_of_ones_projects_is_the_default(gateway: World) -> None:
    await register(gateway)
    await register(gateway, "h2")
    everything = {"h1__echo", "h2__echo"}
    project = await project_of(gateway, "bob")
    await has(gateway, ALICE, "shop", {"hosts": ["h2", "x"], "changes": [CHANGE]}, project=project)
    assert await listed(gateway, "/mcp", "admin-token") == everything
    # Whoever is taken into a project unasked is not told other names for tools.
    assert await listed(gateway, "/mcp", BOB) == {"h2__echo"}
    assert await listed(gateway, "/mcp/shop", BOB) == {"say"}
    assert await listed(gateway, "/mcp?hosts=*", BOB) == everything
    await has(gateway, ALICE, "other", {"hosts": ["h1"]}, project=project)
    assert await listed(gateway, "/mcp", BOB) == everything, "which of them is not known"
    second = await project_of(gateway, "bob")
    await has(gateway, ALICE, "other", {"hosts": ["h1"]}, project=second)
    status, text = await at(gateway, BOB, "/mcp/other")
    assert (status, "2 of your projects have a profile other" in text) == (409, True)


async def test_nobody_sees_more_by_a_profile(gateway: World) -> None:
    await register(gateway, "alice/mine", owner="alice")
    await register(gateway)
    names = [{"host": "alice/mine", "tool": "echo", "name": "hers"}]
    await has(gateway, BOB, "x", {"hosts": ["alice/*", "mine"], "changes": names})
    assert await listed(gateway, "/mcp/x", BOB) == set()
    async with agent(gateway, BOB, at="/mcp/x") as client:
        for none in ("hers", "echo", "alice__mine__echo"):
            with pytest.raises(MCPError, match="there is no tool"):
                await client.call_tool(none, {})


async def test_a_session_is_told_of_another_profile_and_ends_with_none(gateway: World) -> None:
    await register(gateway)
    await has(gateway, ALICE, "x", {"hosts": ["h2"]})
    async with listening(gateway, ALICE, mode="legacy", at="/mcp/x") as (client, heard):
        assert {tool.name for tool in (await client.list_tools()).tools} == OWN
        await gateway.append(removed("h1"))
        await gateway.settled()
        assert not heard.is_set()
        await has(gateway, ALICE, "x", {"hosts": ["*"]})
        async with asyncio.timeout(20):
            await heard.wait()
        async with gateway.http(ALICE) as http:
            assert (await http.delete("/api/profiles/x")).status_code == 200
            assert (await http.delete("/api/profiles/x")).status_code == 404
    assert (await at(gateway, ALICE, "/mcp/x"))[0] == 404


async def test_a_profile_that_another_gateway_has_just_taken_is_looked_for(gateway: World) -> None:
    state = PeopleState(Bucket(gateway.bus, ACCOUNTS_BUCKET))
    elsewhere = Profiles(state, Projects(state))
    await elsewhere.put(Profile(name="new", user="alice"))
    assert (await at(gateway, ALICE, "/mcp/new"))[0] == 200


TOOL = {"host": "h", "tool": "t"}


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("a.b", {}, "profile 'a.b' is not allowed"),
        ("x", {"host": ["a"]}, "unknown field"),
        ("x", {"hosts": [""]}, "length"),
        ("x", {"hosts": ["a"] * 101}, "length"),
        ("x", {"tools": "some"}, "enum"),
        ("x", {"changes": [TOOL | {"name": "no name!"}]}, "matching regex"),
        ("x", {"changes": [TOOL | {"name": "x" * 65}]}, "length"),
        ("x", {"changes": [TOOL | {"name": "get_task"}]}, "the name get_task is taken"),
        ("x", {"changes": [TOOL | {"name": "find_tools"}]}, "the name find_tools is taken"),
        ("x", {"changes": [TOOL, TOOL]}, "h t is there twice"),
        ("x", {"changes": [TOOL | {"name": "n"}, CHANGE | {"name": "n"}]}, "the name n is taken"),
        ("x", {"only": {f"h{n}": ["x"] * 19 for n in range(11)}}, "only, without: 220 patterns"),
        ("x", {"hosts": ["é" * 160] * 99, "only": {"x" * 160: ["é" * 160] * 150}}, "65536 bytes"),
    ],
)
async def test_what_is_no_profile(gateway: World, name: str, body: Any, why: str) -> None:
    answer = await put(gateway, ALICE, name, body)
    assert answer.status_code in (400, 413)
    assert why in answer.json()["error"]["message"]


async def test_there_are_only_so_many(gateway: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_PROFILES", 1)
    await has(gateway, ALICE, "a", {})
    await has(gateway, ALICE, "a", {"hosts": ["b"]})
    await has(gateway, BOB, "b", {})
    assert (await put(gateway, ALICE, "b", {})).status_code == 429


async def test_of_two_gateways_that_change_one_the_second_is_told(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = PeopleState(Bucket(gateway.bus, ACCOUNTS_BUCKET))
    elsewhere = Profiles(state, Projects(state))
    await elsewhere.put(Profile(name="x", user="alice"))
    refresh = gateway.site.parts.state.refresh

    async def late() -> None:
        await refresh()
        monkeypatch.setattr(gateway.site.parts.state, "refresh", refresh)
        await elsewhere.put(Profile(name="x", user="alice", hosts=("theirs",)))

    monkeypatch.setattr(gateway.site.parts.state, "refresh", late)
    with pytest.raises(Rejected, match="somebody else has just changed profile x"):
        await gateway.site.parts.profiles.put(Profile(name="x", user="alice", hosts=("mine",)))


async def test_over_a_limit_nothing_is_looked_for(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    async def refresh() -> None:
        looked.append("up")

    monkeypatch.setattr(gateway.site.parts.profiles, "refresh", refresh)
    assert (await at(gateway, ALICE, "/mcp/none"))[0] == 404
    assert looked == ["up"]
    monkeypatch.setattr(gateway.site.limit, "over", lambda *_: 1.0)
    assert (await at(gateway, ALICE, "/mcp/none"))[0] == 404
    assert looked == ["up"]


@pytest.mark.parametrize(
    ("approve", "asked"), [(["ec*"], True), (["destructive"], False), (["other"], False)]
)
async def test_a_profile_says_what_a_person_has_to_allow(
    gateway: World, approve: list[str], *, asked: bool
) -> None:
    await register(gateway)
    await has(gateway, ALICE, "careful", {"hosts": ["h1"], "approve": approve})
    direct = {"type": "mcp.call", "host": "h1", "input": {"tool": "echo"}}
    unknown = {"type": "mcp.call", "input": {"tool": 7}}
    async with agent(gateway, at="/mcp/careful") as client:
        calling = asyncio.create_task(client.call_tool("echo", {"text": "hi"}))
        created = await next_fact(gateway, TaskCreated)
        assert created.spec.approve is asked
        await ended(gateway, created, echoed("hi"))
        await calling
        for body, wanted in ((direct, asked), (unknown, True)):
            said = await client.call_tool("submit_task", body)
            assert said.structured_content is not None
            assert (await spec_of(gateway, said.structured_content["id"])).approve is wanted
    async with agent(gateway) as client:
        said = await client.call_tool("submit_task", direct)
        assert said.structured_content is not None
        assert not (await spec_of(gateway, said.structured_content["id"])).approve


async def spec_of(gateway: World, task: str) -> TaskSpec:
    """A task as the log has it."""
    (record,) = await gateway.log.read((f"task.created.alice.{task}",))
    assert isinstance(record.fact, TaskCreated)
    return record.fact.spec
