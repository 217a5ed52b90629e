"""The router on a log: it routes, repeats, ends, restarts from its rows, and gives way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from contracts.errors import Reason, Rejected
from contracts.facts import (
    FailureKind,
    JobDone,
    JobFailed,
    LogRouter,
    Outcome,
    TaskRouted,
)
from contracts.host import Cache, TaskBinding
from contracts.result import inline
from contracts.status import Status, fold
from contracts.subjects import ROUTERS, of_task, router_term
from contracts.wire import Beat
from services.log.memory import MemoryLog
from services.log.port import AlreadyRecorded, LogUnavailable
from services.log.projection import Projection, project
from services.process.ids import new_id
from services.router.domain import evolve, initial
from services.router.projection import SCHEMA, VERSION, load, rows
from tests.support.facts import cancelled, done, failed, signed
from tests.unit.router.bench import Bench
from tests.unit.router.world import host


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_tasks_from_before_and_after_its_start_are_routed(bench: Bench) -> None:
    await bench.register(host("a", 4))
    await bench.submit("t1")
    async with bench.router():
        first = await bench.fact(TaskRouted, task="t1")
        await bench.submit("t2")
        second = await bench.fact(TaskRouted, task="t2")
    assert first.route.host == second.route.host == "a"
    assert second.route.slots == {"a": 1}
    assert first.by == "router-1"


async def test_a_failed_attempt_is_repeated_on_another_host(bench: Bench) -> None:
    await bench.register(host("a"), host("b"))
    async with bench.router():
        await bench.submit("t1")
        first = await bench.fact(TaskRouted, task="t1", attempt=1)
        known = {"host": first.route.host, "kind": FailureKind.UNREACHABLE, "called": False}
        head = await bench.log.append(failed("alice", "t1", **known))
        second = await bench.fact(TaskRouted, task="t1", attempt=2)
    assert second.route.host != first.route.host
    assert second.route.job_head == head


async def test_cancelling_before_the_claim_ends_the_task(bench: Bench) -> None:
    await bench.register(host("a"))
    async with bench.router():
        await bench.submit("t1")
        await bench.fact(TaskRouted, task="t1")
        await bench.log.append(cancelled("alice", "t1"))
        end = await bench.fact(JobDone, task="t1")
    assert end.outcome == Outcome.CANCELLED


async def test_a_cancel_that_crosses_a_claim_changes_nothing(bench: Bench) -> None:
    await bench.register(host("a"))
    async with bench.router():
        await bench.submit("t1")
        await bench.fact(TaskRouted, task="t1")
        await bench.log.append(signed("alice", "t1", host="a"))
        await bench.log.append(cancelled("alice", "t1"))
        await bench.submit("t2")
        await bench.fact(TaskRouted, task="t2")
    view = fold(await bench.log.read(of_task("alice", "t1")))
    assert view.status == Status.RUNNING
    assert view.cancel_requested


async def test_a_deadline_passes_on_the_monotonic_clock(bench: Bench) -> None:
    await bench.register(host("a"))
    async with bench.router() as router:
        await bench.submit("t1", deadline_s=60)
        await bench.fact(TaskRouted, task="t1")
        bench.time.now += 61
        # The lease, which lasts a second, is over as well: a new term finds the task expired.
        router.poke()
        end = await bench.fact(JobDone, task="t1")
    assert end.outcome == Outcome.TIMED_OUT


async def test_a_restarted_executor_has_lost_its_attempt(bench: Bench) -> None:
    await bench.register(host("a"))
    async with bench.router() as router:
        await bench.submit("t1", on_unknown="retry", max_attempts=1)
        await bench.fact(TaskRouted, task="t1")
        await bench.log.append(signed("alice", "t1", host="a"))
        router.hear(b"not a beat")
        router.hear(msgspec.json.encode(Beat("executor-1", "i2")))
        lost = await bench.fact(JobFailed, task="t1")
        end = await bench.fact(JobDone, task="t1")
    assert lost.kind == FailureKind.LOST
    assert (end.outcome, end.error.code) == (Outcome.FAILED, "lost")


async def test_a_restart_takes_up_the_rows_and_begins_a_new_term(bench: Bench) -> None:
    await bench.register(host("a", 1))
    async with bench.router():
        await bench.submit("t1")
        await bench.submit("t2")
        route = await bench.fact(TaskRouted, task="t1")
    before = await bench.dump()
    assert [key for key, _ in before["tasks"]] == ["alice.t1", "alice.t2"]
    async with bench.router():
        await bench.log.append(done("alice", "t1", host="a", attempt=1))
        again = await bench.fact(TaskRouted, task="t2")
    assert (route.route.term, again.route.term) == (1, 2)
    assert await bench.dump() == await rebuilt(bench)


async def test_a_restarted_router_remembers_what_may_be_given_again(bench: Bench) -> None:
    await bench.register(host("a", task_types={"work": TaskBinding(cache=Cache(3600))}))
    async with bench.router():
        await bench.submit("t1")
        route = await bench.fact(TaskRouted, task="t1")
        known = {"host": "a", "attempt": 1, "input_sha256": route.route.input_sha256}
        await bench.log.append(done("alice", "t1", result=inline(b"1"), **known))
        await bench.submit("t2")
        await bench.fact(JobDone, task="t2", from_="t1")
    assert await bench.dump() == await rebuilt(bench)
    async with bench.router():
        await bench.submit("t3")
        again = await bench.fact(JobDone, task="t3")
    assert (again.from_, again.result, again.attempt) == ("t1", inline(b"1"), 0)


async def rebuilt(bench: Bench) -> dict[str, list[tuple]]:
    """The rows of a projection made anew from the first fact on."""
    projection = await Projection.open(bench.folder / "new.sqlite", SCHEMA, VERSION)
    state = initial()

    def apply(records):
        for record in records:
            evolve(state, record)
        return rows(state, state.take_changes())

    following = asyncio.create_task(project(bench.log, projection, (">",), apply))
    assert await projection.reached(await bench.log.head(), 5)
    following.cancel()
    await asyncio.wait([following])
    await projection.close()
    return await bench.dump("new")


async def test_rows_read_back_are_the_state(bench: Bench) -> None:
    await bench.register(host("a", 1, owner="alice"), host("b"))
    async with bench.router():
        await bench.submit("t1", host="a")
        await bench.submit("t2", host="b")
        await bench.fact(TaskRouted, task="t2")
        await bench.log.append(failed("alice", "t2", host="b", kind=FailureKind.CUT, called=False))
        await bench.fact(TaskRouted, task="t1")
    state = initial()
    async for batch in bench.log.scan((">",), 0, await bench.log.head()):
        for record in batch.records:
            evolve(state, record)
    projection = await Projection.open(bench.folder / "router-1.sqlite", SCHEMA, VERSION)
    loaded = await load(projection)
    await projection.close()
    names = "tasks hosts tracks tastes term term_seq first_host_seq flights owners".split()
    for name in names:
        assert getattr(loaded, name) == getattr(state, name), name
    assert loaded.tracks, "the failure was counted"


class FaultyLog(MemoryLog):
    """Stores what it is given and then loses the answer, once."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.errors = [error]

    async def append_all(self, items):
        outcomes = await super().append_all(items)
        if self.errors:
            raise self.errors.pop()
        return outcomes


@pytest.mark.parametrize(
    ("error", "terms"), [(ConnectionError("cut"), [1, 2]), (LogUnavailable("disk full"), [1])]
)
async def test_an_answer_that_is_lost_leads_to_no_second_route(tmp_path, error, terms) -> None:
    bench = Bench(tmp_path, FaultyLog(error))
    await bench.register(host("a", 10))
    async with bench.router():
        await bench.submit("t1")
        await bench.fact(TaskRouted, task="t1")
        await bench.fact(LogRouter, term=terms[-1])
        await bench.submit("t2")
        await bench.fact(TaskRouted, task="t2")
    found = await bench.log.read(("task.routed.>",))
    assert [record.fact.task for record in found] == ["t1", "t2"]
    assert [record.fact.term for record in await bench.log.read((ROUTERS,))] == terms


class RefusingLog(MemoryLog):
    """Takes no route of one task, as if it were too large; all the others are settled."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task
        self.refusals = 0

    async def append(self, fact, guard=None, trace=""):
        if isinstance(fact, TaskRouted) and fact.task == self.task:
            self.refusals += 1
            raise Rejected(Reason.TOO_LARGE, "the fact is too large")
        return await super().append(fact, guard, trace)

    async def append_all(self, items):
        outcomes = []
        error = None
        for item in items:
            try:
                outcomes.append(await self.append(*item))
            except AlreadyRecorded as refusal:
                outcomes.append(refusal)
            except Rejected as refused:
                error = refused
        if error:
            raise error
        return outcomes


async def test_a_fact_that_the_log_refuses_holds_up_no_other_task(tmp_path: Path) -> None:
    bench = Bench(tmp_path, RefusingLog("big"))
    await bench.register(host("a", 10))
    for task in ("t1", "big", "t2"):
        await bench.submit(task)
    async with bench.router() as router:
        for task in ("t1", "t2", "t3", "t4"):
            if task > "t2":
                await bench.submit(task)
            await bench.fact(TaskRouted, task=task)
        assert router.active
    assert bench.log.refusals == 2, "in its round and alone; then it rests"
    assert len(await bench.log.read((ROUTERS,))) == 1


class SilentLog(MemoryLog):
    """Does not answer when asked for the newest term, as often as it is told."""

    def __init__(self, faults: int) -> None:
        super().__init__()
        self.faults = faults

    async def last(self, filter_):
        if filter_ == ROUTERS and self.faults:
            self.faults -= 1
            raise LogUnavailable("nobody answers")
        return await super().last(filter_)


async def test_a_log_that_does_not_answer_is_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SilentLog(faults=6))
    async with bench.router():
        await bench.fact(LogRouter, term=1)
    assert bench.log.faults == 0


async def test_another_log_means_starting_from_nothing(bench: Bench) -> None:
    await bench.register(host("a"))
    async with bench.router():
        await bench.submit("t1")
        await bench.fact(TaskRouted, task="t1")
    bench.log = MemoryLog("2027-07-07T00:00:00Z")
    await bench.register(host("z"))
    async with bench.router():
        await bench.submit("t1")
        assert (await bench.fact(TaskRouted, task="t1")).route.host == "z"
    assert [row[0] for row in (await bench.dump())["hosts"]] == ["z"]


async def test_what_the_router_appends_is_guarded(bench: Bench) -> None:
    await bench.register(host("a"))
    async with bench.router():
        await bench.submit("t1")
        await bench.fact(TaskRouted, task="t1")
        stale = TaskRouted(
            id=new_id(),
            by="router-0",
            user="alice",
            task="t1",
            attempt=2,
            route=(await bench.fact(TaskRouted, task="t1")).route,
        )
        with pytest.raises(AlreadyRecorded):
            await bench.log.append(stale, router_term(0))
