"""Router processes on a real server: one decides, another one when the first is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contracts import subjects
from contracts.facts import LogRouter, McpHealth, McpRegistered, Record
from contracts.host import HealthStatus
from contracts.task import TaskSpec
from contracts.wire import Beat
from services.bus.bus import Bus
from services.bus.errors import BusError
from services.log.jetstream import NatsLog
from services.log.port import START
from services.process.ids import new_id
from tests.support.facts import created
from tests.support.nats import NatsServer
from tests.unit.router.world import host

ROOT = Path(__file__).parents[3]
HOST = host("a", 100)


@contextlib.asynccontextmanager
async def router(server: NatsServer, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A router process; killed at the end unless it has ended."""
    env = os.environ | {
        "METAMCP_NATS_URL": server.url,
        "METAMCP_DATA": str(server.data),
        "METAMCP_CREDENTIALS": str(server.embedded.credentials_file("router")),
        "METAMCP_INSTANCE": name,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.router", cwd=ROOT, env=env
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Watch:
    """The log as the test sees it."""

    def __init__(self, registry: NatsLog, gateway: NatsLog) -> None:
        self.registry = registry
        self.gateway = gateway

    async def register(self) -> None:
        known = {"by": "test", "host": HOST.id, "k": 1}
        await self.registry.append(McpRegistered(id=new_id(), **known, spec=HOST))
        await self.registry.append(McpHealth(id=new_id(), **known, status=HealthStatus.HEALTHY))

    async def submit(self) -> Record:
        """Create a task and wait for its route."""
        fact = created("alice", spec=TaskSpec(type="work"))
        await self.gateway.append(fact)
        return await self.seen(f"task.routed.alice.{fact.task}.1")

    async def seen(self, subject: str) -> Record:
        async with asyncio.timeout(30):
            async for batch in self.gateway.follow((subject,), START):
                if batch.records:
                    return batch.records[0]
        raise AssertionError


@pytest.fixture
async def watch(fresh_nats: NatsServer) -> AsyncIterator[Watch]:
    async with contextlib.AsyncExitStack() as stack:
        logs = []
        for user in ("registry", "gateway"):
            bus = await stack.enter_async_context(fresh_nats.connected(user))
            logs.append(await stack.enter_async_context(await NatsLog.open(bus)))
        bus = await stack.enter_async_context(fresh_nats.connected("executor"))
        over = asyncio.Event()
        beating = asyncio.create_task(beat(bus, over))
        yield Watch(*logs)
        over.set()
        await beating


async def beat(bus: Bus, over: asyncio.Event) -> None:
    """An executor that only shows that it is there."""
    data = msgspec.json.encode(Beat("executor-1", "i1", slots=8))
    while not over.is_set():
        with contextlib.suppress(BusError, TimeoutError):
            await bus.publish(subjects.beat("executor-1"), data)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await over.wait()


async def test_a_standby_takes_over_from_a_killed_router(fresh_nats, watch: Watch) -> None:
    await watch.register()
    async with router(fresh_nats, "router-1") as first, router(fresh_nats, "router-2") as second:
        term = await watch.seen("log.router.1")
        assert isinstance(term.fact, LogRouter)
        assert (await watch.submit()).fact.by == term.fact.by
        (first if term.fact.by == "router-1" else second).send_signal(signal.SIGKILL)
        route = await watch.submit()
        assert route.fact.by != term.fact.by
        assert route.fact.route.term == 2
        gap = route.at - (await watch.seen(f"task.created.alice.{route.fact.task}")).at
        assert gap < 15


async def test_a_stopped_router_gives_the_lease_up_at_once(fresh_nats, watch: Watch) -> None:
    await watch.register()
    async with router(fresh_nats, "router-1") as first:
        await watch.submit()
        first.send_signal(signal.SIGTERM)
        assert await first.wait() == 0
    async with router(fresh_nats, "router-1"):
        route = await watch.submit()
        assert (route.fact.route.term, route.fact.route.basis) == (2, route.seq - 1)


async def test_a_crash_of_the_server_costs_no_task(fresh_nats, watch: Watch) -> None:
    await watch.register()
    async with router(fresh_nats, "router-1"):
        first = await watch.submit()
        await fresh_nats.kill()
        await fresh_nats.start(provision=False)
        second = await watch.submit()
    assert first.fact.route.host == second.fact.route.host
