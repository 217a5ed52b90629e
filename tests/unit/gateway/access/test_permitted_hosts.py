"""Hosts, tools and task types that are for some alone: to all others, at every door, not there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.facts import AnyFact, McpHealth, McpRegistered
from contracts.host import (
    Access,
    HealthStatus,
    Host,
    Limits,
    StreamableHttp,
    TaskBinding,
    Tool,
)
from services.gateway import projection as tables
from services.gateway.access.identity import Principal
from services.gateway.people.records import Project
from services.process.ids import new_id
from tests.support.facts import name
from tests.support.nats import NatsServer
from tests.unit.gateway.access.test_authorisation_mcp import ERAS, agent, failed, result
from tests.unit.gateway.access.test_authorisation_streams import until
from tests.unit.gateway.alices import MORE, seen
from tests.unit.gateway.http.test_events import events
from tests.unit.gateway.scoped import take_scoped_tokens, token
from tests.unit.gateway.whole import ENTRY, Whole, whole
from tests.unit.gateway.world import TOKENS, World, error_of, write_tokens

FEW = Access(roles=("admin",), users=("alice",), projects=("p1",))
SECRET, NONE = "secrethost", "nosuchhost"
"""As long as one another."""
OPEN = "openhost"
ALICE, BOB, ADMIN, AUDITOR = "alice-token", "bob-token", "admin-token", "auditor-token"


def registered(id_: str, k: int = 1, **fields: Any) -> list[AnyFact]:
    spec = Host(
        id=id_,
        name=id_,
        endpoint=StreamableHttp("http://127.0.0.1:1/mcp"),
        limits=Limits(start_s=0.1),
        tools=(Tool("look"), Tool("hiddentool")),
        task_types={"t.x": TaskBinding(), **fields.pop("types", {})},
        **fields,
    )
    status = HealthStatus.HEALTHY
    return [
        McpRegistered(id=new_id(), by="registry-1", host=id_, k=k, spec=spec),
        McpHealth(id=new_id(), by="registry-1", host=id_, k=k, status=status),
    ]


def both() -> list[AnyFact]:
    """A host that is for few, and one whose tool and task type are."""
    types = {"hidden.type": TaskBinding(access=FEW)}
    return [
        *registered(SECRET, access=FEW),
        *registered(OPEN, tool_access={"hiddentool": FEW}, types=types),
    ]


@pytest.fixture
async def one(gateway: World, tmp_path: Path) -> World:
    write_tokens(tmp_path, TOKENS | MORE)
    take_scoped_tokens(gateway)
    await gateway.append(*both())
    await gateway.settled()
    await gateway.site.projection.reached(gateway.site.feed.position, 10)
    return gateway


@pytest.fixture
async def all_services(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[Whole]:
    async with whole(fresh_nats, tmp_path) as gateway:
        write_tokens(tmp_path, TOKENS | MORE)
        await gateway.append(*both())
        await gateway.written()
        yield gateway


async def hosts(gateway: World, shown: str) -> dict[str, dict[str, Any]]:
    async with gateway.http(shown) as client:
        return {one["id"]: one for one in (await client.get("/api/mcps")).json()["data"]}


async def test_lists_show_what_one_may_use(one: World) -> None:
    for shown in (ALICE, ADMIN, AUDITOR, token("bob", "hosts:read", "admin", roles=("admin",))):
        found = await hosts(one, shown)
        assert set(found) == {SECRET, OPEN}
        assert {tool["name"] for tool in found[OPEN]["tools"]} == {"look", "hiddentool"}
        assert "hidden.type" in found[OPEN]["task_types"]
    for shown in (BOB, token("bob", "hosts:read", roles=("admin",))):
        found = await hosts(one, shown)
        assert set(found) == {OPEN}
        assert not {"hiddentool", "hidden.type", "alice"} & set(json.dumps(found).split('"'))
        async with one.http(shown) as client:
            query = {"task_type": "hidden.type"}
            assert (await client.get("/api/mcps", params=query)).json()["data"] == []
    for host in (await hosts(one, ALICE)).values():
        assert (host["access"], host["tool_access"]) == (None, {}), "nor who else may"
        assert {binding.get("access") for binding in host["task_types"].values()} == {None}
    assert (await hosts(one, ADMIN))[SECRET]["access"]["users"] == ["alice"]


async def test_members_of_a_project_see_what_is_for_it(one: World) -> None:
    parts = one.site.parts
    bob, other = Principal(name("bob"), frozenset()), Principal(name("eve"), frozenset())
    made = await parts.projects.create(bob.user, Project(id="", name="p", members=()))
    assert parts.asker(bob).projects == {made.id}
    assert parts.asker(other).projects == frozenset()


def parts_principal(user: str) -> Any:
    from services.gateway.access.identity import Principal

    return Principal(user, frozenset())


async def test_what_is_not_for_one_is_not_there(all_services: Whole) -> None:
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/api/mcps/{}", {}),
        ("PUT", "/api/mcps/{}", {"json": ENTRY}),
        ("DELETE", "/api/mcps/{}", {}),
        ("POST", "/api/mcps/{}/probe", {}),
        ("POST", "/api/mcps/{}/disable", {}),
        ("POST", "/api/mcps/{}/enable", {}),
        ("GET", "/api/mcps/{}/log", {}),
        ("PUT", "/api/preferences/{}", {"json": {"weight": 1}}),
        ("DELETE", "/api/preferences/{}", {}),
    ]
    head = await all_services.log.head()
    async with all_services.http(BOB) as client:
        for method, path, given in ways:
            hers = await client.request(method, path.format(SECRET), **given)
            none = await client.request(method, path.format(NONE), **given)
            assert seen(hers, SECRET) == seen(none, NONE), (method, path, hers.text, none.text)
            assert method == "DELETE" or hers.status_code == 404, (method, path)
    after = range(head + 1, await all_services.log.head() + 1)
    written = [await all_services.log.at(n) for n in after]
    assert {type(record.fact) for record in written if record} <= {McpHealth}
    async with all_services.http(ALICE) as client:
        probed = (await client.post(f"/api/mcps/{SECRET}/probe")).json()["data"]
        assert "alice" not in json.dumps(probed["host"])
        assert (await client.put(f"/api/preferences/{SECRET}", json={"weight": 1})).is_success
        assert error_of(await client.delete(f"/api/mcps/{SECRET}")).code == 404
    async with all_services.http(BOB) as client:
        probed = (await client.post(f"/api/mcps/{OPEN}/probe")).json()["data"]
        assert "hiddentool" not in json.dumps(probed)


@pytest.mark.parametrize("era", ERAS)
async def test_agents_have_the_tools_of_their_user(one: World, era: str) -> None:
    hidden = {f"{SECRET}__look", f"{SECRET}__hiddentool", f"{OPEN}__hiddentool"}
    for shown, may in ((ALICE, True), (BOB, False), (AUDITOR, False), (ADMIN, True)):
        async with agent(one, shown, era) as client:
            tools = result(await client.ask("tools/list", {}))["tools"]
            listed = {tool["name"] for tool in tools} & hidden
            assert listed == (hidden if may else set()), shown
            text = json.dumps(await client.use("list_hosts", {}))
            words = {SECRET, "hiddentool", "hidden.type"}
            assert {word for word in words if word in text} == (words if may else set())
            if may:
                continue
            for name in hidden:
                none = name.replace(SECRET, NONE).replace("hiddentool", "missestool")
                told = []
                for asked in (name, none):
                    answer = await client.ask("tools/call", {"name": asked, "arguments": {}})
                    assert failed(answer)
                    told.append(answer.text.replace(asked, "NAME"))
                assert told[0] == told[1]


async def test_streams_of_hosts_tell_nobody_of_what_is_for_few(one: World) -> None:
    async with one.stream(BOB) as his, one.stream(AUDITOR) as theirs:
        for after in ("start", None):
            name = f"s{after}"
            await his.follow(name, "hosts", after=after)
            await theirs.follow(name, "all", after=after)
        async with events(one, "?to=hosts&after=start", BOB) as also_his:
            await until(also_his, None)
            seqs = await one.append(*registered(SECRET, 2, access=FEW))
            (last,) = await one.append(registered(OPEN, 3, tool_access={"hiddentool": FEW})[0])
            assert seqs
            told = json.dumps(await until(also_his, last))
        for name in ("sstart", "sNone"):
            assert seqs[0] in await theirs.through(last, name)
            await his.through(last, name)
        for text in (told, json.dumps(his.frames)):
            assert OPEN in text
            assert not [word for word in (SECRET, "hiddentool", "hidden.type") if word in text]
        assert SECRET in json.dumps(theirs.frames)


async def test_a_restart_tells_nobody_either(one: World) -> None:

    assert await tables.owners(one.site.projection) == {SECRET: "-", OPEN: None}


def test_the_old_registration_of_a_host_says_nothing_of_access() -> None:
    old = msgspec.json.decode(b'{"id":"h","name":"h","endpoint":{"kind":"noop"}}', type=Host)
    assert (old.access, old.tool_access) == (None, {})
    assert msgspec.json.encode(old).count(b"access") == 0


async def test_by_command_the_operator_says_it_and_nobody_of_their_own(
    all_services: Whole,
) -> None:
    entry = ENTRY | {"access": {"users": ["alice"]}}
    async with all_services.http(BOB) as client:
        refused = error_of(await client.post("/api/mcps/mine", json=entry))
        assert (refused.code, "access: a user's host" in refused.message) == (400, True)
    async with all_services.http(ADMIN) as client:
        refused = error_of(await client.post("/api/mcps/bob/his", json=entry))
        assert (refused.code, "access: a user's host" in refused.message) == (400, True)
        assert (await client.post("/api/mcps/few", json=entry)).status_code == 201
    assert "few" in await hosts(all_services, ALICE)
    assert "few" not in await hosts(all_services, BOB)
