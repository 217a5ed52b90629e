"""Whose host a Space is, where it is called, what it may hold, and which kit lies in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import ids
from contracts.errors import Rejected
from contracts.facts import McpRegistered
from contracts.host import COMMAND, SPACE, Execute, HealthStatus, Host, Noop
from services.huggingface.spaces import Spaces
from services.process.ids import new_id
from services.registry import spaces
from tests.support.discovery import HEALTHY, MANIFEST, TOOLS, World, discovering
from tests.support.http_host import HttpHost, answer, serving
from tests.support.nats import NatsServer
from tests.support.space import KIT
from tests.support.system import until


@pytest.fixture
async def world(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    async with discovering(nats_server, tmp_path) as one:
        yield one


@pytest.fixture
async def app() -> AsyncIterator[HttpHost]:
    """What runs in a Space: it says what it is, then that it is healthy."""
    async with serving(answer(MANIFEST), HEALTHY) as one:
        yield one


async def test_two_spaces_of_one_user_with_the_same_name_are_two_hosts(world: World) -> None:
    for repo in ("ann/a.b", "ann/a_b", "ann/a-b"):
        await world.space(repo, mcp_json=MANIFEST)
        world.hub.stage(repo, "SLEEPING")
    seen = await world.look()
    hosts = {one.space: ids.split_host(one.host)[1] for one in seen.values()}
    assert hosts["ann/a-b"] == "ann-a-b", "the first by name has the plain one"
    assert hosts["ann/a_b"] == "ann-a_b"
    assert re.fullmatch("ann-a-b-[0-9a-f]{8}", hosts["ann/a.b"])
    assert all(world.known(host).spec for host in hosts.values())
    del world.hub.state.repos["space", "ann/a-b"]
    again = await world.look()
    assert again["ann/a.b"].host == world.id(hosts["ann/a.b"]), "a name is kept"
    assert world.known("ann-a-b").spec is None


async def test_two_spaces_whose_made_up_addresses_are_one_are_called_where_the_hub_serves_them(
    world: World, app: HttpHost
) -> None:
    """`ann/b-c` and `ann-b/c`: the token of a private Space's owner never goes to the other."""
    await world.space("ann/b-c", private=True, mcp_json={"name": "mine"} | MANIFEST)
    thief = Spaces(world.hub_client)
    stranger = world.hub.account("ann-b")
    await thief.create(stranger, "ann-b/c", sdk="static", private=False)
    world.hub.repos["space", "ann/b-c"].served_as = "ann-b-c-2"
    async with serving(answer({"name": "the stranger's"} | MANIFEST)) as theirs:
        world.hub.serve("ann-b/c", theirs.url)
        world.hub.serve("ann/b-c", app.url)
        for repo in ("ann-b/c", "ann/b-c"):
            await world.hub.until_stage(repo, "RUNNING")
        await world.look()
        await world.until_status("ann-b-c", HealthStatus.HEALTHY)
        spec = world.known("ann-b-c").spec
        assert spec is not None
        assert isinstance(spec.endpoint, Execute)
        assert spec.endpoint.subdomain == "ann-b-c-2"
        assert spec.name != "the stranger's"
        assert theirs.seen == [], "nobody has asked there"
        assert [one.path for one in app.seen][:2] == ["/mcp.json", "/health"]


async def test_a_private_space_without_an_address_is_no_host_and_is_sent_no_token(
    world: World, app: HttpHost
) -> None:
    await world.space(private=True, mcp_json=MANIFEST)
    world.hub.serve(TOOLS, app.url)
    await world.hub.until_stage(TOOLS, "RUNNING")
    world.hub.repos["space", TOOLS].served_as = ""
    seen = await world.look()
    assert seen[TOOLS].host == ""
    assert "only guessed" in seen[TOOLS].problem
    assert app.seen == []
    assert not world.asked("spaces-live")


async def test_a_space_holds_no_host_but_its_own(world: World) -> None:
    """Whatever a Space is called, other hosts of that name are probed and get work."""
    others = (
        Host(id="ann-tools", name="the operator's", endpoint=Noop()),
        Host(
            id="zoe/ann-tools",
            name="another user's",
            endpoint=Noop(),
            owner="zoe",
            source=SPACE,
        ),
    )
    for host in others:
        await world.log.append(McpRegistered(id=new_id(), by="r", host=host.id, k=1, spec=host))
    own = Host(id=world.id("ann-own"), name="own", endpoint=Noop(), owner=world.user)
    own = msgspec.structs.replace(own, source=COMMAND)
    await world.log.append(McpRegistered(id=new_id(), by="r", host=own.id, k=1, spec=own))

    async def known() -> bool:
        return own.id in world.registry.hosts

    await until(known)
    await world.space(mcp_json=MANIFEST)
    await world.space("ann/own", mcp_json=MANIFEST)
    for repo in (TOOLS, "ann/own"):
        world.hub.stage(repo, "PAUSED")
    await world.look()
    await world.until_status("ann-tools", HealthStatus.UNHEALTHY, "paused: ")
    assert world.registry.held(world.id("ann-tools")) is not None
    assert world.discovery._held[world.user].keys() == {world.id("ann-tools")}
    for host in (*others, own):
        assert world.registry.held(host.id) is None, host.id
    world.hub.revoke(world.token)
    with pytest.raises(Rejected):
        await world.look()
    for host in (*others, own):
        assert world.registry.held(host.id) is None, host.id


OLD_KIT = {"permit_py": "ISSUER = 'metamcp'", "runs_py": "", "server_toml": ""}


@pytest.mark.parametrize("stage", ["SLEEPING", "APP_STARTING"])
async def test_a_kit_of_an_earlier_release_is_told_without_waking_it(
    world: World, stage: str
) -> None:
    await world.space(mcp_json=MANIFEST, **OLD_KIT)
    world.hub.stage(TOOLS, stage)
    seen = await world.look()
    assert seen[TOOLS].host == world.id("ann-tools")
    assert seen[TOOLS].problem.startswith("outdated: ")
    advice = "outdated: its kit takes no permits of this release: `metamcp spaces deploy ann/tools`"
    await world.until_status("ann-tools", HealthStatus.UNHEALTHY, advice)
    assert world.hub.stage_of(TOOLS) == stage
    assert not world.asked("spaces-live")
    source = (KIT / "permit.py").read_bytes()
    await world.spaces.deploy(world.token, TOOLS, {"permit.py": source}, "the kit of now")
    world.hub.stage(TOOLS, "SLEEPING")
    assert (await world.look())[TOOLS].problem == ""
    await world.until_status("ann-tools", HealthStatus.WARNING, "sleeping: ")


@pytest.mark.parametrize(
    ("said", "outdated"), [({}, True), ({"kit": 1}, True), ({"kit": 2}, False), ({"kit": 3}, False)]
)
async def test_a_running_kit_says_itself_which_permits_it_takes(
    world: World, app: HttpHost, said: dict[str, Any], outdated: bool
) -> None:
    app.script = [answer(MANIFEST | said), HEALTHY]
    await world.space(mcp_json=MANIFEST, **OLD_KIT)
    world.hub.serve(TOOLS, app.url)
    await world.hub.until_stage(TOOLS, "RUNNING")
    seen = await world.look()
    assert seen[TOOLS].problem.startswith("outdated: ") is outdated
    status = HealthStatus.UNHEALTHY if outdated else HealthStatus.HEALTHY
    await world.until_status("ann-tools", status, "outdated: " if outdated else "")


async def test_who_has_no_kit_is_not_told_to_deploy_one(world: World) -> None:
    await world.space(mcp_json=MANIFEST, permit_py="of another make")
    world.hub.stage(TOOLS, "SLEEPING")
    assert (await world.look())[TOOLS].problem == ""


def test_the_kit_takes_the_permits_that_are_made() -> None:
    assert spaces.kit_of((KIT / "permit.py").read_text()) == spaces.KIT
    assert set(spaces.KIT_FILES) <= {path.name for path in KIT.iterdir()}
    assert spaces.kit_of("ISSUER = 1\nNO_KIT = 7\n KIT = 8") == 1
