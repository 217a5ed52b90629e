"""Terms: one router decides at a time, the next one takes up its timers, and clocks may jump."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.facts import FailureKind, LogRouter, TaskRouted
from contracts.subjects import ROUTERS, latest_term, router_term
from services.log.memory import MemoryLog
from services.process.ids import new_id
from services.router.actor import LEASE, LeaseHolder
from services.router.domain import backoff_s
from services.router.settings import Settings
from services.store.blobs import Lease, LeaseLost, Leases
from tests.support.facts import failed, signed
from tests.support.nats import NatsServer
from tests.unit.router.bench import Bench, MemoryLeases, Time
from tests.unit.router.world import host


@pytest.fixture(params=["memory", "nats"])
async def leases(
    request: pytest.FixtureRequest, nats_server: NatsServer
) -> AsyncIterator[LeaseHolder]:
    if request.param == "memory":
        yield MemoryLeases()
        return
    async with nats_server.connected("router") as bus:
        yield Leases(bus)


async def test_a_lease_has_one_holder_until_it_is_released(leases: LeaseHolder) -> None:
    first = await leases.acquire(LEASE, "one", 5)
    assert first is not None
    assert await leases.acquire(LEASE, "two", 5) is None
    renewed = await leases.renew(first)
    await leases.release(first)
    assert await leases.acquire(LEASE, "two", 5) is None, "only the newest revision releases"
    await leases.release(renewed)
    second = await leases.acquire(LEASE, "two", 5)
    assert second is not None
    with pytest.raises(LeaseLost):
        await leases.renew(renewed)
    await leases.release(second)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_one_router_decides_and_the_next_takes_over_when_it_stops(bench: Bench) -> None:
    await bench.register(host("a", 10))
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(bench.router("router-1"))
        await bench.fact(LogRouter, by="router-1")
        async with bench.router("router-2") as second:
            await bench.submit("t1")
            assert (await bench.fact(TaskRouted, task="t1")).by == "router-1"
            assert (first.active, second.active) == (True, False)
            await stack.aclose()
            await bench.submit("t2")
            assert (await bench.fact(TaskRouted, task="t2")).by == "router-2"
            assert (first.active, second.active) == (False, True)


async def test_a_router_that_was_overtaken_is_refused_and_begins_again(bench: Bench) -> None:
    await bench.register(host("a", 10))
    async with bench.router():
        await bench.submit("t1")
        await bench.fact(TaskRouted, task="t1")
        mine = await bench.log.last("log.router.*")
        other = LogRouter(id=new_id(), by="router-9", term=2)
        await bench.log.append(other, router_term(mine.seq))
        await bench.fact(LogRouter, term=3)
        await bench.submit("t2")
        route = await bench.fact(TaskRouted, task="t2")
        assert route.route.term == 3
    terms = [r.fact.term for r in await bench.log.read(("log.router.*",))]
    assert terms == [1, 2, 3]


async def test_a_term_follows_the_one_that_was_said_again_last(bench: Bench) -> None:
    first = LogRouter(id=new_id(), by="router-9", term=7)
    await bench.log.append(first, router_term(0))
    again = LogRouter(id=new_id(), by="router-9", term=7, again=True)
    await bench.log.append(again, latest_term(7))
    async with bench.router():
        assert (await bench.fact(LogRouter, by="router-1")).term == 8


async def test_a_lease_that_was_taken_away_ends_the_term(bench: Bench) -> None:
    await bench.register(host("a", 10))
    async with bench.router():
        await bench.fact(LogRouter, term=1)
        thief = Lease(LEASE, "thief", 1, 999)
        bench.leases.held[LEASE] = thief
        async with asyncio.timeout(30):
            while (await bench.log.last("log.router.*")).fact.term == 1:
                await bench.leases.release(thief)
                await bench.submit(new_id())
        assert (await bench.fact(LogRouter, term=2)).by == "router-1"


class WallClockLog(MemoryLog):
    """Its clock goes with the bench's, until it is set forward or back."""

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.shift = 1e9

    def _store(self, item):
        length = len(self._records)
        outcome = super()._store(item)
        if len(self._records) > length:
            self._records[-1] = replace(self._records[-1], at=self.time() + self.shift)
        return outcome


async def passes(bench: Bench, seconds: float, step: float) -> None:
    """Let time pass; at each step the router has decided before the next one comes."""
    end = bench.time.now + seconds
    while bench.time.now < end - step / 2:
        bench.time.now += step
        await bench.submit(marker := new_id())
        await bench.fact(TaskRouted, task=marker)


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_the_next_term_remembers_that_the_clock_has_jumped(tmp_path: Path, jump) -> None:
    bench = Bench(tmp_path, WallClockLog(), Settings(lease_ttl_s=60))
    bench.time = bench.log.time
    await bench.register(host("a", 100))
    async with bench.router():
        await bench.submit("old", deadline_s=6)
        await bench.submit("later", delay_s=3)
        await bench.fact(TaskRouted, task="old")
        bench.log.shift += jump
        await bench.submit("new", deadline_s=7)
        await bench.fact(TaskRouted, task="new")
        other = LogRouter(id=new_id(), by="router-9", term=2)
        await bench.log.append(other, router_term((await bench.log.last(ROUTERS)).seq))
        await bench.fact(LogRouter, term=3)
        started = bench.time.now
        await passes(bench, 7, step=0.5)
    found = await bench.log.read(("task.routed.*.later.*", "job.done.>"))
    seen = [(record.fact.task, record.at - bench.log.shift - started) for record in found]
    assert seen == [("later", 3), ("old", 6), ("new", 7)]


async def test_timers_go_on_over_a_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path, WallClockLog(), Settings(lease_ttl_s=60, lost_after_s=60, grace_s=5))
    bench.time = bench.log.time
    started = bench.time.now
    await bench.register(host("a", 100), host("full", 1, "other"))
    async with bench.router():
        await bench.submit("ahead", type="other")
        await bench.submit("queued", type="other", deadline_s=6)
        await bench.submit("delayed", delay_s=3)
        for task in ("repeated", "claimed"):
            await bench.submit(task, retry_tool_errors=True)
            await bench.fact(TaskRouted, task=task)
        await bench.log.append(failed("alice", "repeated", host="a", kind=FailureKind.TOOL))
        expires = bench.log.shift + started + 2
        await bench.log.append(signed("alice", "claimed", host="a", expires=expires))
        await passes(bench, 0.5, step=0.5)
    bench.time.now += 0.25
    async with bench.router():
        await bench.fact(LogRouter, term=2)
        await passes(bench, 7.25, step=0.25)
    subjects = ("*.*.*.queued.end", "*.*.*.repeated.2", "*.*.*.delayed.1", "job.failed.*.claimed.1")
    found = await bench.log.read(subjects)
    seen = {record.fact.task: record.at - bench.log.shift - started for record in found}
    pause = backoff_s("repeated", 1)
    assert seen.pop("repeated") == pytest.approx(pause + 0.125, abs=0.126)
    assert seen == {"delayed": 3, "queued": 6, "claimed": 7}
