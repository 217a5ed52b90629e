"""Users' Spaces become hosts: a real registry and NATS, a stand-in Hub with Spaces that run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Reason, Rejected
from contracts.host import Execute, HealthStatus, StreamableHttp
from contracts.wire import SpaceSeen
from services.huggingface.spaces import Space
from services.registry import spaces
from tests.support.discovery import HEALTHY, HF, MANIFEST, TOOLS, World, discovering
from tests.support.http_host import HttpHost, answer, serving
from tests.support.http_mcp import http_server
from tests.support.nats import NatsServer
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


async def test_a_running_space_says_itself_what_it_is(world: World, app: HttpHost) -> None:
    await world.space(mcp_json={"name": "the file's"})
    world.hub.serve(TOOLS, app.url)
    await world.hub.until_stage(TOOLS, "RUNNING")
    seen = await world.look()
    assert seen == {TOOLS: SpaceSeen(TOOLS, "RUNNING", world.id("ann-tools"))}
    spec = world.known("ann-tools").spec
    assert spec is not None
    assert spec.endpoint == Execute("hf://ann/tools", subdomain="ann-tools")
    assert (spec.owner, set(spec.task_types)) == (world.user, {"scan"})
    await world.until_status("ann-tools", HealthStatus.HEALTHY)
    assert app.seen[0].path == "/mcp.json"
    read = world.asked("/mcp.json")
    await world.look()
    assert world.asked("/mcp.json") == read, "it has not changed"


async def test_a_sleeping_space_is_a_host_and_is_not_woken(world: World) -> None:
    await world.space(mcp_json=MANIFEST)
    world.hub.stage(TOOLS, "SLEEPING")
    seen = await world.look()
    assert seen[TOOLS].host == world.id("ann-tools")
    await world.until_status("ann-tools", HealthStatus.WARNING, "sleeping: ")
    await world.registry.watchers[world.id("ann-tools")].now()
    assert world.known("ann-tools").status is HealthStatus.WARNING
    assert world.hub.stage_of(TOOLS) == "SLEEPING"
    assert not world.asked("spaces-live")


@pytest.mark.parametrize(
    ("stage", "status", "reason"),
    [
        ("BUILDING", HealthStatus.UNKNOWN, "building: "),
        ("APP_STARTING", HealthStatus.WARNING, "starting: "),
        ("PAUSED", HealthStatus.UNHEALTHY, "paused: restart it with `metamcp spaces restart"),
        ("RUNTIME_ERROR", HealthStatus.UNHEALTHY, "failed: the Space says RUNTIME_ERROR: it fell"),
        ("NEW_WORD", HealthStatus.UNKNOWN, "stage: the Space says NEW_WORD"),
    ],
)
async def test_stages_are_states(
    world: World, stage: str, status: HealthStatus, reason: str
) -> None:
    await world.space(mcp_json=MANIFEST)
    world.hub.stage(TOOLS, stage, "it fell" if stage.endswith("ERROR") else "")
    await world.look()
    if status is HealthStatus.UNKNOWN:

        async def told() -> bool:
            return world.known("ann-tools").reason.startswith(reason)

        await until(told)
    await world.until_status("ann-tools", status, reason)
    spec = world.known("ann-tools").spec
    assert spec is not None
    assert set(spec.task_types) == {"scan"}


async def test_a_space_that_wakes_up_is_probed_again(world: World, app: HttpHost) -> None:
    app.script = [HEALTHY]
    await world.space(mcp_json=MANIFEST)
    world.hub.stage(TOOLS, "SLEEPING")
    await world.look()
    await world.until_status("ann-tools", HealthStatus.WARNING, "sleeping: ")
    world.hub.serve(TOOLS, app.url)
    await world.hub.until_stage(TOOLS, "RUNNING")
    app.script = [answer(MANIFEST), HEALTHY]
    app.seen.clear()
    await world.look()
    await world.until_status("ann-tools", HealthStatus.HEALTHY)


async def test_gradio_spaces_with_the_tag_are_mcp_servers(world: World, tmp_path: Path) -> None:
    async with http_server(tmp_path / "record") as server:
        await world.spaces.create(world.token, "ann/gradio", sdk="gradio", private=False)
        await world.spaces.create(world.token, "ann/other", sdk="gradio", private=False)
        world.hub.tag("ann/gradio", "mcp-server")
        world.hub.serve("ann/gradio", server.url, at="/gradio_api/mcp")
        await world.hub.until_stage("ann/gradio", "RUNNING")
        seen = await world.look()
        assert set(seen) == {"ann/gradio"}
        spec = world.known("ann-gradio").spec
        assert spec is not None
        assert spec.endpoint == StreamableHttp("hf://ann/gradio", subdomain="ann-gradio")
        await world.until_status("ann-gradio", HealthStatus.HEALTHY)
        spec = world.known("ann-gradio").spec
        assert spec is not None
        assert "echo" in {tool.name for tool in spec.tools}


async def test_private_spaces_are_shown_the_owners_token(world: World, app: HttpHost) -> None:
    await world.space(private=True, mcp_json=MANIFEST)
    world.hub.serve(TOOLS, app.url)
    await world.hub.until_stage(TOOLS, "RUNNING")
    await world.look()
    spec = world.known("ann-tools").spec
    assert spec is not None
    place = {"bearer_from": "HF_TOKEN", "subdomain": "ann-tools"}
    assert spec.endpoint == Execute("hf://ann/tools", **place)
    await world.until_status("ann-tools", HealthStatus.HEALTHY)
    assert world.token not in repr(world.registry.hosts)


async def test_a_space_that_is_no_host_says_why(world: World) -> None:
    await world.space("ann/plain")
    await world.space("ann/broken", mcp_json={"tools": [{}]})
    await world.space("ann/empty", mcp_json={"name": "nothing"})
    for repo in ("ann/plain", "ann/broken", "ann/empty"):
        world.hub.stage(repo, "SLEEPING")
    seen = await world.look()
    assert set(seen) == {"ann/broken", "ann/empty"}
    assert "tools[0]" in seen["ann/broken"].problem
    assert "task_types" in seen["ann/empty"].problem
    assert not any(known.spec for known in world.registry.hosts.values())


async def test_what_is_gone_is_removed_and_trouble_removes_nothing(world: World) -> None:
    await world.space(mcp_json=MANIFEST)
    await world.space("ann/other", mcp_json=MANIFEST)
    for repo in (TOOLS, "ann/other"):
        world.hub.stage(repo, "SLEEPING")
    await world.look()
    world.hub.down = True
    with pytest.raises(Rejected) as refusal:
        await world.look()
    assert refusal.value.reason is Reason.UNAVAILABLE
    world.hub.down = False
    assert world.known("ann-tools").spec is not None
    await world.spaces.deploy(world.token, TOOLS, {"mcp.json": b'{"name":"x"}'}, "changed")
    world.hub.stage(TOOLS, "SLEEPING")
    world.hub.fail(f"{TOOLS}/(resolve|paths-info)", status=500, times=50)
    seen = await world.look()
    assert "can't be read now" in seen[TOOLS].problem
    assert world.known("ann-tools").spec is not None, "what is known stands"
    world.hub.heal()
    del world.hub.state.repos["space", TOOLS]
    assert set(await world.look()) == {"ann/other"}
    assert world.known("ann-tools").spec is None
    assert world.known("ann-other").spec is not None


async def test_unlinking_removes_a_users_spaces(world: World) -> None:
    await world.space(mcp_json=MANIFEST)
    world.hub.stage(TOOLS, "SLEEPING")
    await world.look()
    await world.accounts.unlink(world.user, HF)
    assert await world.look() == {}
    assert world.known("ann-tools").spec is None


async def test_a_refused_token_is_said_and_removes_nothing(world: World) -> None:
    await world.space(mcp_json=MANIFEST)
    world.hub.stage(TOOLS, "SLEEPING")
    await world.look()
    world.hub.revoke(world.token)
    with pytest.raises(Rejected) as refusal:
        await world.look()
    assert refusal.value.reason is Reason.FORBIDDEN
    await world.until_status("ann-tools", HealthStatus.UNHEALTHY, "metamcp link huggingface")


async def test_looks_at_one_user_are_shared(world: World) -> None:
    await world.space(mcp_json=MANIFEST)
    world.hub.stage(TOOLS, "SLEEPING")
    before = world.asked("/api/spaces")
    every = await asyncio.gather(*(world.look() for _ in range(10)))
    assert all(one == every[0] for one in every)
    listed = [r for r in world.hub.requests if r.method == "GET" and r.path == "/api/spaces"]
    assert len(listed) == 1, before


async def test_everybody_is_looked_at_without_being_asked(world: World) -> None:
    await world.space(mcp_json=MANIFEST)
    world.hub.stage(TOOLS, "SLEEPING")
    world.discovery._interval_s = 0.2
    running = asyncio.create_task(world.discovery.run())
    try:
        await world.until_status("ann-tools", HealthStatus.WARNING, "sleeping: ")
        await world.accounts.unlink(world.user, HF)

        async def gone() -> bool:
            return world.known("ann-tools").spec is None

        await until(gone)
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait((running,))


STAGES = st.sampled_from([*spaces.RUNS, "SLEEPING", "BUILDING", "PAUSED", "X", ""]) | st.text()


@given(STAGES, st.text(max_size=20))
def test_every_stage_means_something(stage: str, error: str) -> None:
    held = spaces.held(Space("a/b", stage=stage, error=error))
    assert (held is None) == (stage in spaces.RUNS)
    if held is not None:
        assert ": " in held.reason
        assert held.status is not HealthStatus.HEALTHY
