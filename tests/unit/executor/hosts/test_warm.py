"""Sessions that are open before the first task comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import McpRegistered
from contracts.host import Host, Limits, Noop, Placement, Stdio, Tool
from services.executor.attempt.call import Opening
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.pool import Pool
from services.executor.hosts.warm import Warmer, wanted
from services.executor.projection import Hosts
from services.keys.secrets import Secrets
from services.log.memory import MemoryLog
from services.process.ids import new_id
from tests.unit.executor.sessions import STDIO, Bench, closing
from tests.unit.executor.world import host

NO_SECRETS = Secrets(Path("nowhere"), {})
TOOLS = (Tool("echo"),)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    one = Bench(tmp_path, STDIO)
    yield one
    await closing(one)


@contextlib.asynccontextmanager
async def warming(bench: Bench, *hosts: Host) -> AsyncIterator[tuple[Pool, dict[str, KnownHost]]]:
    known = {one.id: KnownHost(1, one) for one in hosts}
    pool = Pool(Opening(bench.host(), bench.folder / "hosts"), most_waiting=3, secrets=NO_SECRETS)
    warmer = Warmer(pool, known.get)
    running = asyncio.create_task(warmer.run())
    warmer.add(["unheard-of", *known])
    try:
        yield pool, known
    finally:
        running.cancel()
        await asyncio.wait([running])
        await pool.close()


async def test_the_first_call_meets_a_server_that_runs_already(bench: Bench) -> None:
    async with warming(bench, bench.host(tools=TOOLS, sessions="shared")) as (pool, known):
        (server,) = await bench.until_written(1, "server")
        assert bench.written() == [], "nothing was called"
        await pool.call(known["h1"], bench.call())
        assert [call["pid"] for call in bench.written()] == [server["pid"]]


async def test_a_host_that_does_not_start_keeps_no_other_from_it(bench: Bench) -> None:
    broken = bench.host(
        id="h0", endpoint=Stdio("no-such-command-anywhere"), tools=TOOLS, sessions="shared"
    )
    mute = bench.host(
        id="h00",
        endpoint=Stdio("sleep", ("99",)),
        tools=TOOLS,
        limits=Limits(start_s=0.2),
        sessions="shared",
    )
    async with warming(bench, broken, mute, bench.host(tools=TOOLS, sessions="shared")):
        assert len(await bench.until_written(1, "server")) == 1


@pytest.mark.parametrize(
    ("fields", "warm"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"placement": Placement.USER_SPACE, "owner": "alice"}, False),
        ({"endpoint": Noop()}, False),
        ({"tools": ()}, False),
        ({"sessions": "user"}, False),
        ({"sessions": "task"}, False),
    ],
    ids=["local", "disabled", "in a Space", "noop", "not probed yet", "a user's", "a task's"],
)
def test_only_local_servers_that_have_answered_once_are_opened(
    fields: dict[str, Any], warm: bool
) -> None:
    known = {"endpoint": Stdio("x"), "tools": TOOLS, "sessions": "shared"}
    assert wanted(host(**known | fields)) is warm


async def test_history_is_told_once_and_only_as_it_is_now(tmp_path: Path) -> None:
    log = MemoryLog()
    for k in (1, 2, 3):
        fact = McpRegistered(id=new_id(), by="r", host="h1", k=k, spec=host(name=f"name {k}"))
        await log.append(fact)
    told: asyncio.Queue[list[tuple[str, str]]] = asyncio.Queue()
    for changes in (1, 0):
        hosts = await Hosts.open(tmp_path / "view.sqlite")

        def tell(names: Iterable[str], hosts: Hosts = hosts) -> None:
            found = [(name, known) for name in names if (known := hosts.get(name))]
            told.put_nowait([(name, known.host.name) for name, known in found])

        hosts.on_known = tell
        following = asyncio.create_task(hosts.run(log))
        async with asyncio.timeout(30):
            assert await told.get() == [("h1", f"name {4 - changes}")]
            if changes:
                fact = McpRegistered(id=new_id(), by="r", host="h1", k=4, spec=host(name="name 4"))
                await log.append(fact)
                assert await told.get() == [("h1", "name 4")]
                assert await hosts._projection.reached(4, 5)
        following.cancel()
        await asyncio.wait([following])
        await hosts.close()
