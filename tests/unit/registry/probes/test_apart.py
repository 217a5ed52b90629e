"""Probes of users' hosts: what such a host does, it does to a worker, and the registry goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import subjects
from contracts.errors import Rejected
from contracts.facts import McpRegistered
from contracts.host import COMMAND, Host, Limits, Probe, StreamableHttp
from contracts.ids import host_id
from contracts.wire import HostList
from services.keys.secrets import Secrets
from services.log.memory import MemoryLog
from services.outside.apart.pool import WorkerPool
from services.registry.actor import Registry
from services.registry.commands import Commands
from services.registry.probes import child
from services.registry.probes.apart import ApartProber
from services.registry.probes.base import Reach
from services.registry.service import WORKERS
from services.registry.settings import Settings
from tests.support.adverse_mcp import SHAPES, adverse, ways
from tests.support.http_host import hang, serving
from tests.support.system import until
from tests.unit.executor.hosts.test_apart import Late
from tests.unit.registry.running import running
from tests.unit.registry.test_actor import no_spaces, noop


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with adverse() as address:
        yield address


@pytest.fixture
async def reach(forked_workers: None) -> AsyncIterator[Reach]:
    workers = WorkerPool(WORKERS)
    yield Reach(Secrets(Path("nowhere"), {}), allow_private=True, workers=workers)
    await workers.close()


def host(url: str, how: str, owner: str | None = "mallory", **fields: Any) -> Host:
    known = {"endpoint": StreamableHttp(f"{url}/{how}"), "source": COMMAND, "owner": owner}
    known |= {"probe": Probe("t", interval_s=3600.0), "limits": Limits(start_s=15.0)}
    return Host(**{"id": host_id(owner, how), "name": how} | known | fields)


async def probed(one: Host, reach: Reach) -> str:
    prober = child.prober(one, asyncio.Semaphore(1), 10.0, reach)
    assert isinstance(prober, ApartProber) is (one.owner is not None)
    async with asyncio.timeout(50):
        return (await prober.probe()).reason


@pytest.mark.parametrize("owner", ["mallory", None], ids=["user's", "operator's"])
@pytest.mark.parametrize("how", sorted(SHAPES))
async def test_a_schema_of_the_probed_tool_stops_nothing(
    url: str, reach: Reach, how: str, owner: str | None
) -> None:
    async with Late() as late:
        assert await probed(host(url, how, owner), reach) == ""
    assert late.most < 2


@pytest.mark.parametrize("how", [f"list-{way}" for way in (*ways(), "json", "bomb")] + ["pages"])
async def test_endless_lists_are_a_sick_host_and_no_more(url: str, reach: Reach, how: str) -> None:
    async with Late() as late:
        reason = await probed(host(url, how), reach)
    assert "too much" in reason or "more than" in reason, reason
    assert late.most < 2
    assert await probed(host(url, "ok"), reach) == ""


@contextlib.asynccontextmanager
async def commanded(
    log: MemoryLog, file: Path, reach: Reach, *, disabled: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Registry, Commands]]:
    settings = Settings(probe_limit_s=30.0, disabled=disabled)
    async with running(log, file, noop(), settings=settings, reach=reach) as registry:
        yield registry, Commands(registry, settings, no_spaces, allow_private=True)


async def hosts(commands: Commands) -> dict[str, Host]:
    answer = msgspec.json.decode(await commands.list_hosts(b"{}"), type=HostList)
    return {view.host.id: view.host for view in answer.hosts}


async def registered(log: MemoryLog, one: Host) -> None:
    await log.append(McpRegistered(id="f", by="r", host=one.id, k=1, spec=one))


async def test_a_host_that_is_switched_off_is_let_go_of_in_the_middle_of_its_probe(
    tmp_path: Path, reach: Reach
) -> None:
    log = MemoryLog()
    async with serving(hang) as server, commanded(log, tmp_path / "v", reach) as (registry, asked):
        one = host(server.url, "h", limits=Limits(start_s=600.0))
        await registered(log, one)
        await server.until(1)
        switch = {"user": "root", "operator": True, "host": "mallory/h", "enabled": False}
        async with asyncio.timeout(2):
            await asked.switch(msgspec.json.encode(switch))
        async with asyncio.timeout(30):
            await server.gone.wait()

        async def unwatched() -> bool:
            return "mallory/h" not in registry.watchers

        await until(unwatched)


async def test_what_the_operators_settings_name_is_asked_nothing_ever(
    tmp_path: Path, reach: Reach
) -> None:
    log = MemoryLog()
    async with serving(hang) as server:
        await registered(log, host(server.url, "known"))
        barred = ("mallory/known", "later", "bench")
        async with commanded(log, tmp_path / "v", reach, disabled=barred) as (registry, asked):
            await registered(log, host(server.url, "fine", enabled=False))
            entry = {"endpoint": {"kind": "http", "url": f"{server.url}/x"}}
            add = {"user": "root", "operator": True, "host": "later", "entry": entry}
            await asked.add(msgspec.json.encode(add))
            found = await hosts(asked)
            assert [found[name].enabled for name in barred] == [False, False, False]
            assert registry.watchers == {}
            switch = {"user": "root", "operator": True, "host": "mallory/known", "enabled": True}
            with pytest.raises(Rejected, match="METAMCP_REGISTRY_DISABLED"):
                await asked.switch(msgspec.json.encode(switch))
            facts = len(await log.read(subjects.HOSTS))
        async with commanded(log, tmp_path / "v", reach, disabled=barred):
            assert len(await log.read(subjects.HOSTS)) == facts, "nothing is said twice"
        assert server.seen == []
        async with commanded(log, tmp_path / "v", reach) as (_, asked):
            found = await hosts(asked)
            # A manifest says again what it wants; of the others somebody has to say so.
            assert [found[name].enabled for name in barred] == [False, False, True]


async def test_a_poisoned_host_in_the_log_does_not_keep_a_registry_from_working(
    tmp_path: Path, reach: Reach, url: str
) -> None:
    log = MemoryLog()
    for how in ("regex", "list-comments", "list-progress", "list-hang"):
        await registered(log, host(url, how))
    for _ in range(2):
        async with commanded(log, tmp_path / "v", reach) as (_, asked), Late() as late:
            async with asyncio.timeout(2):
                assert len(await hosts(asked)) == 5
            async with asyncio.timeout(45):
                await asked.probe_now(b'{"host": "mallory/regex"}')
            switch = {"user": "root", "operator": True, "host": "mallory/list-hang"}
            switch |= {"enabled": False}
            async with asyncio.timeout(2):
                await asked.switch(msgspec.json.encode(switch))
        assert late.most < 2
