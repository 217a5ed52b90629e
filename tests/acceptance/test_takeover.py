"""Two router processes in a running system: one is killed or frozen, the other one goes on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.facts import LogRouter, Record, TaskRouted
from tests.support import chaos, invariants
from tests.support.system import System, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

GAP_S = 5.0
"""The longest time without a router that is allowed."""


class Stream:
    """Tasks that are submitted one after the other for as long as the block lasts."""

    def __init__(self, one: System, label: str) -> None:
        self.accepted: list[str] = []
        self.enough = False
        """Set to end it: the last one is accepted too then, and not just sent."""
        self._one = one
        self._label = label

    async def run(self) -> None:
        while not self.enough:
            work = {"tool": "work", "arguments": {"ms": 20}}
            task = f"{self._label}-{len(self.accepted)}"
            await self._one.submit(id=task, input=work, on_unknown="retry", deadline_s=60)
            self.accepted.append(task)

    async def goes_on(self, count: int = 20) -> None:
        """Wait until so many more tasks have been accepted."""
        wanted = len(self.accepted) + count

        async def enough() -> bool:
            return len(self.accepted) >= wanted

        await until(enough)


@contextlib.asynccontextmanager
async def stream(one: System, label: str) -> AsyncIterator[Stream]:
    tasks = Stream(one, label)
    running = asyncio.create_task(tasks.run())
    try:
        yield tasks
        tasks.enough = True
        await running
    finally:
        running.cancel()


async def standing_by(one: System, name: str) -> None:
    """Wait until this router is there and follows the log."""

    async def ready() -> bool:
        path = one.running.logs / f"{name}.log"
        return path.exists() and "router_ready" in path.read_text()

    await until(ready)


async def test_the_standby_goes_on_when_the_active_router_is_killed(tmp_path: Path) -> None:
    async with system(tmp_path, {"one": 16, "two": 16}) as one:
        chaos.add_router(one.running)
        await standing_by(one, "router-2")
        first = await chaos.active_router(one)
        async with stream(one, "killed") as tasks:
            await tasks.goes_on()
            killed = time.time()
            one.running.kill(first.fact.by)
            second = await chaos.active_router(one, after=first.fact.term)
            await tasks.goes_on()
        records = await one.all_done(tasks.accepted)
        invariants.check(records, one.calls(), tasks.accepted)
    gap = min(r.at for r in records if r.seq > second.seq and isinstance(r.fact, TaskRouted))
    print(f"\nnew term {second.at - killed:.2f} s, next route {gap - killed:.2f} s after the kill")
    assert 0 < second.at - killed < GAP_S
    assert gap - killed < GAP_S


@pytest.mark.long
async def test_a_frozen_router_that_wakes_up_routes_nothing(tmp_path: Path) -> None:
    async with system(tmp_path, {"one": 16, "two": 16}) as one:
        chaos.add_router(one.running)
        await standing_by(one, "router-2")
        first = await chaos.active_router(one)
        async with stream(one, "frozen") as tasks:
            await tasks.goes_on()
            one.running.kill(first.fact.by, signal.SIGSTOP)
            second = await chaos.active_router(one, after=first.fact.term)
            await tasks.goes_on()
            # It still believes in its term, and finds all these tasks waiting for a route.
            one.running.kill(first.fact.by, signal.SIGCONT)
            await tasks.goes_on(60)
        records = await one.all_done(tasks.accepted)
        invariants.check(records, one.calls(), tasks.accepted)
        # It is well again: the system survives the loss of the other one.
        one.running.kill(second.fact.by)
        third = await chaos.active_router(one, after=second.fact.term)
        after = await one.submit(input={"tool": "echo", "arguments": {}})
        assert (await one.finished(after))["status"] == "succeeded"
    assert second.fact.by != first.fact.by
    assert routed_by(records, after=second) == {second.fact.by}
    routers = [record.fact for record in records if isinstance(record.fact, LogRouter)]
    terms = [fact.term for fact in routers if not fact.again]
    assert terms == list(range(1, len(terms) + 1))
    assert third.fact.term == second.fact.term + 1


def routed_by(records: list[Record], after: Record) -> set[str]:
    """Who has written the routes since."""
    routes = [r.fact for r in records if isinstance(r.fact, TaskRouted) and r.seq > after.seq]
    return {fact.by for fact in routes}
