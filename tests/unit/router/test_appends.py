"""What a router has decided on its way to the log: overtaken by another router, or by the work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from contracts.facts import JobDone, JobSigned, McpHealth, McpRegistered, Outcome, TaskRouted
from contracts.host import HealthStatus
from contracts.subjects import ROUTERS, done, job_head
from contracts.task import TaskSpec
from services.log.jetstream import NatsLog
from services.log.memory import MemoryLog
from services.log.port import START, Append
from services.process.ids import new_id
from services.router.actor import LEASE
from services.router.settings import Settings
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.router.bench import Bench
from tests.unit.router.world import host

LONG = Settings(lease_ttl_s=60, lost_after_s=60)


class PausedLog(NatsLog):
    """Its process is frozen with the end of a task in its hands, until it is let go."""

    def __init__(self, bus) -> None:
        super().__init__(bus)
        self.frozen, self.go, self.over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def append_all(self, items: Sequence[Append]):
        return await self._held(items, super().append_all)

    async def append_together(self, items: Sequence[Append]):
        return await self._held(items, super().append_together)

    async def _held(self, items, append):
        if not any(isinstance(item.fact, JobDone) for item in items):
            return await append(items)
        self.frozen.set()
        await self.go.wait()
        try:
            return await append(items)
        finally:
            self.over.set()


class Roles:
    """The log as each of its writers has it."""

    def __init__(self, server: NatsServer, stack: contextlib.AsyncExitStack) -> None:
        self._server = server
        self._stack = stack

    async def log(self, role: str, kind: type[NatsLog] = NatsLog) -> NatsLog:
        bus = await self._stack.enter_async_context(self._server.connected(role))
        return await self._stack.enter_async_context(await kind.open(bus))


@pytest.fixture
async def roles(fresh_nats: NatsServer) -> AsyncIterator[Roles]:
    async with contextlib.AsyncExitStack() as stack:
        yield Roles(fresh_nats, stack)


async def routed(log: NatsLog, task: str) -> TaskRouted:
    async with asyncio.timeout(20):
        async for batch in log.follow((f"task.routed.alice.{task}.1",), START):
            for record in batch.records:
                assert isinstance(record.fact, TaskRouted)
                return record.fact
    raise AssertionError


async def test_a_router_that_was_deposed_ends_no_task(roles: Roles, tmp_path: Path) -> None:
    registry, gateway = await roles.log("registry"), await roles.log("gateway")
    known = {"by": "test", "host": "a", "k": 1}
    await registry.append(McpRegistered(id=new_id(), **known, spec=host("a", 1)))
    await registry.append(McpHealth(id=new_id(), **known, status=HealthStatus.HEALTHY))
    paused = await roles.log("router", PausedLog)
    old = Bench(tmp_path / "old", paused, LONG)
    new = Bench(tmp_path / "new", await roles.log("router"), LONG)
    new.leases = old.leases
    async with old.router("router-1") as first:
        await gateway.append(facts.created("alice", "t1", spec=TaskSpec(type="work")))
        await routed(gateway, "t1")
        late = TaskSpec(type="work", deadline_s=10)
        await gateway.append(facts.created("alice", "t2", spec=late))
        while "alice.t2" not in first.state.tasks:
            await first._folded.wait()
            first._folded.clear()
        old.time.now += 11
        first.poke()
        await paused.frozen.wait()
        old.leases.held.pop(LEASE)
        async with new.router("router-2"):
            while (await gateway.last(ROUTERS)).fact.term == 1:
                pass
            paused.go.set()
            await paused.over.wait()
            assert await gateway.last(done("alice", "t2")) is None
            executor = await roles.log("executor")
            claim = await executor.append(facts.signed("alice", "t1"), job_head("alice", "t1", 0))
            await executor.append(facts.done("alice", "t1"), job_head("alice", "t1", claim))
            assert (await routed(gateway, "t2")).route.term == 2


class CrossingLog(MemoryLog):
    """One task is claimed in the moment in which the router ends it."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.claim = [facts.signed("alice", task, host="a")]
        self.batches: list[int] = []

    async def append_together(self, items: Sequence[Append]) -> list[int]:
        if self.claim:
            await self.append(self.claim.pop())
        self.batches.append(len(items) - 1)
        return await super().append_together(items)


async def test_an_end_that_comes_too_late_keeps_no_other_out(tmp_path: Path) -> None:
    tasks = [f"t{n}" for n in range(8)]
    bench = Bench(tmp_path, CrossingLog("t5"), LONG)
    await bench.register(host("a", 100))
    async with bench.router():
        for task in tasks:
            await bench.submit(task)
            await bench.fact(TaskRouted, task=task)
        await bench.log.append_all([Append(facts.cancelled("alice", task)) for task in tasks])
        for task in tasks:
            if task != "t5":
                assert (await bench.fact(JobDone, task=task)).outcome is Outcome.CANCELLED
        await bench.fact(JobSigned, task="t5")
    assert await bench.log.last(done("alice", "t5")) is None
    assert bench.log.batches[0] > 1, "they were ended together"


async def test_ends_that_are_stored_together_name_their_term_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, settings=LONG)
    for n in range(20):
        await bench.submit(f"t{n}")
        await bench.log.append(facts.cancelled("alice", f"t{n}"))
    async with bench.router("router-7"):
        for n in range(20):
            await bench.fact(JobDone, task=f"t{n}")
    words = [record.fact for record in await bench.log.read((ROUTERS,))]
    assert [(fact.term, fact.again, fact.by) for fact in words] == [
        (1, False, "router-7"),
        (1, True, "router-7"),
    ]
