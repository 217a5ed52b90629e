"""Probe places: dead hosts of one user keep nobody else's from being probed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from contracts import subjects
from contracts.facts import McpHealth, McpRegistered, McpRemoved
from contracts.host import (
    COMMAND,
    FOREIGN_START_S,
    Execute,
    HealthStatus,
    Host,
    Limits,
    TaskBinding,
)
from contracts.ids import host_id
from services.keys.secrets import Secrets
from services.log.memory import MemoryLog
from services.process.ids import new_id
from services.registry import watcher
from services.registry.domain import ProbeEnded
from services.registry.pace import HEALTHS
from services.registry.places import ProbePlaces
from services.registry.probes.base import Reach
from tests.support.system import until
from tests.unit.registry.running import running

REACH = Reach(Secrets(Path("nowhere"), {}), allow_private=True)


def host(id_: str, owner: str | None, url: str = "https://example.org") -> Host:
    source = COMMAND if owner else "manifest"
    limits = Limits(start_s=1e9)
    types = {"work": TaskBinding()}
    known = {"endpoint": Execute(url), "limits": limits, "task_types": types}
    return Host(id=host_id(owner, id_), name=id_, owner=owner, source=source, **known)


class Web:
    """Hosts behind one port: those that start for ever, and those that are well."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.asked[name] = self.asked.get(name, 0) + 1
        if name.startswith("dead"):
            return web.json_response({}, status=503)
        return web.json_response({"status": "healthy"})


@pytest.fixture
async def site() -> AsyncIterator[Web]:
    one = Web()
    app = web.Application()
    app.router.add_get("/{name}/health", one.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield one
    await runner.cleanup()


async def register(log: MemoryLog, spec: Host, k: int = 1) -> None:
    await log.append(McpRegistered(id=new_id(), by="test", host=spec.id, k=k, spec=spec))


async def test_dead_hosts_of_a_user_hold_up_nobody_elses(tmp_path: Path, site: Web) -> None:
    log = MemoryLog()
    dead = [host(f"dead{n}", "mallory", f"{site.url}/dead{n}") for n in range(34)]
    for spec in dead:
        await register(log, spec)
    async with running(log, tmp_path / "registry.sqlite", reach=REACH) as registry:

        async def all_places_of_one() -> bool:
            return len(site.asked) == 8

        await until(all_places_of_one)
        for name, owner in (("hers", "alice"), ("ours", None)):
            await register(log, host(name, owner, f"{site.url}/{name}"))

        async def well() -> bool:
            found = [registry.hosts.get(name) for name in ("alice/hers", "ours")]
            return all(known and known.status is HealthStatus.HEALTHY for known in found)

        await until(well)
        assert len(site.asked) == 8 + 2, "one user's hosts have a quarter of the places"
        limits = registry.hosts["mallory/dead0"].spec
        assert limits is not None
        assert limits.limits.start_s == FOREIGN_START_S, "an older log's word counts no more"


async def test_a_host_that_goes_leaves_its_place_at_once(
    tmp_path: Path, site: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "PLACE_S", 1e6)
    log = MemoryLog()
    for n in range(9):
        await register(log, host(f"dead{n}", "mallory", f"{site.url}/dead{n}"))
    async with running(log, tmp_path / "registry.sqlite", reach=REACH):

        async def full() -> bool:
            return len(site.asked) == 8

        await until(full)
        (late,) = {f"dead{n}" for n in range(9)} - set(site.asked)
        gone = next(iter(site.asked))
        await log.append(McpRemoved(id=new_id(), by="test", host=f"mallory/{gone}", k=1))

        async def asked() -> bool:
            return late in site.asked

        await until(asked)


async def test_what_probes_find_is_told_so_often_and_not_more(tmp_path: Path, site: Web) -> None:
    log = MemoryLog()
    await register(log, host("one", "mallory", f"{site.url}/dead"))
    for name in ("registry", "after a restart"):
        async with running(log, tmp_path / f"{name}.sqlite", reach=REACH) as registry:
            seq = registry.hosts["mallory/one"].seq
            for n in range(30):
                await registry.record(ProbeEnded("mallory/one", seq, f"kind {name} {n}: bad"))
    told = [
        record for record in await log.read(subjects.HOSTS) if isinstance(record.fact, McpHealth)
    ]
    assert len(told) == HEALTHS


async def test_a_host_registered_anew_is_probed_as_it_is_now(tmp_path: Path, site: Web) -> None:
    log = MemoryLog()
    await register(log, host("one", "mallory", f"{site.url}/dead"))
    async with running(log, tmp_path / "registry.sqlite", reach=REACH) as registry:

        async def asked() -> bool:
            return "dead" in site.asked

        await until(asked)
        await register(log, host("one", "mallory", f"{site.url}/well"), k=2)

        async def well() -> bool:
            return registry.hosts["mallory/one"].status is HealthStatus.HEALTHY

        await until(well)


async def test_a_host_that_starts_for_long_keeps_no_place(
    tmp_path: Path, site: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "PLACE_S", 0.2)
    log = MemoryLog()
    for n in range(20):
        await register(log, host(f"dead{n}", "mallory", f"{site.url}/dead{n}"))
    async with running(log, tmp_path / "registry.sqlite", reach=REACH):

        async def all_asked() -> bool:
            return len(site.asked) == 20

        await until(all_asked)


async def test_all_users_together_leave_places_to_the_operator() -> None:
    places = ProbePlaces(8)
    async with contextlib.AsyncExitStack() as stack:
        for user in ("m1", "m2"):
            for _ in range(2):
                await stack.enter_async_context(places.turn(host("x", user)))
        waiting = asyncio.create_task(stack.enter_async_context(places.turn(host("x", "m3"))))
        for _ in range(4):
            async with asyncio.timeout(30):
                await stack.enter_async_context(places.turn(host("x", None)))
        assert not waiting.done()
        waiting.cancel()
