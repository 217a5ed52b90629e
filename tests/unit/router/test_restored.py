"""A log put back from an older backup: what had ended does not run again without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.facts import JobDone, LogRouter, Outcome, TaskRouted
from contracts.restored import AfterRestore, KnownBefore, Restored, RestoredRequest
from contracts.subjects import job_head
from services.log.memory import MemoryLog
from services.router.actor import Router
from services.router.restored import KIND, before
from services.router.state import initial
from tests.support.facts import done, signed
from tests.unit.executor.world import moment
from tests.unit.router.bench import Bench
from tests.unit.router.world import host


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def put_back(bench: Bench, through: int) -> None:
    """The log as a backup has it: the same one, and shorter."""
    older = MemoryLog()
    older._epoch = bench.log.epoch
    for record in bench.log._records[:through]:
        older._keep(record, record.data)
    bench.log = older


async def a_past(bench: Bench) -> int:
    """Three tasks: the backup has one routed, two waiting. Then the first ends, the second begins;
    the answer is where the backup ends."""
    await bench.register(host("a", 1))
    async with bench.router():
        for task in ("t1", "t2", "t3"):
            await bench.submit(task)
        await bench.fact(TaskRouted, task="t1")
        backup = await bench.log.head()
        await claimed(bench, "t1")
        await ended(bench, "t1")
        await bench.fact(TaskRouted, task="t2")
        await claimed(bench, "t2")
        # Its rows have to have that.
        await bench.fact(LogRouter)
    return backup


async def claimed(bench: Bench, task: str) -> None:
    await bench.log.append(signed("alice", task, host="a"), job_head("alice", task, 0))


async def ended(bench: Bench, task: str) -> None:
    head = await bench.log.last(f"job.*.alice.{task}.*")
    assert head is not None
    end = done("alice", task, host="a", attempt=1)
    await bench.log.append(end, job_head("alice", task, head.seq))


async def waiting(router: Router) -> Restored:
    """What a router says that waits for the operator."""
    while not (found := router.restored(RestoredRequest())).waits:
        await moment()
    return found


async def test_a_router_waits_for_the_operator_also_after_a_restart(bench: Bench) -> None:
    put_back(bench, await a_past(bench))
    terms = len(await bench.log.read(("log.router.>",)))
    for _ in range(2):
        async with bench.router() as router:
            found = await waiting(router)
            assert {one.task: one.known for one in found.tasks} == {
                "t1": KnownBefore.ENDED,
                "t2": KnownBefore.BEGUN,
            }
            assert (found.ended, found.begun) == (1, 1)
            assert not router.active
        (trouble,) = bench.troubles.all()
        assert trouble.kind == KIND
        assert "1 tasks that had ended are open again, 1 others" in trouble.text
    assert len(await bench.log.read(("log.router.>",))) == terms, "nothing was decided"


async def test_the_operator_lets_them_run_again(bench: Bench) -> None:
    put_back(bench, await a_past(bench))
    async with bench.router() as router:
        await waiting(router)
        router.restored(RestoredRequest(AfterRestore.GO_ON))
        while not router.active:
            await moment()
        await claimed(bench, "t1")
        await ended(bench, "t1")
        await bench.fact(TaskRouted, task="t2")
        assert bench.troubles.all() == ()
    assert bench.standing()._kept is None


async def test_the_operator_has_them_ended(bench: Bench) -> None:
    put_back(bench, await a_past(bench))
    async with bench.router() as router:
        await waiting(router)
        router.restored(RestoredRequest(AfterRestore.END))
        for task in ("t1", "t2"):
            end = await bench.fact(JobDone, task=task)
            assert (end.outcome, end.error.code) == (Outcome.FAILED, "outcome_unknown")
        await bench.fact(TaskRouted, task="t3")
        assert router.active
        assert bench.troubles.all() == ()
        term = await bench.log.last("log.router.>")
        last = await bench.log.last("job.done.alice.>")
        assert term is not None
        assert last is not None
        assert term.seq > last.seq, "executors begin after the term has"
    assert bench.standing()._kept is None


async def test_what_came_after_the_log_was_put_back_is_no_question(bench: Bench) -> None:
    backup = await a_past(bench)
    put_back(bench, backup)
    for number in range(20):
        await bench.submit(f"new{number}")
    async with bench.router() as router:
        assert {one.task for one in (await waiting(router)).tasks} == {"t1", "t2"}


async def test_a_log_that_lost_nothing_that_matters_goes_on_at_once(bench: Bench) -> None:
    await bench.register(host("a", 1))
    async with bench.router():
        await bench.submit("t1")
        await bench.fact(TaskRouted, task="t1")
        backup = await bench.log.head()
        await bench.submit("t2")
        while "alice.t2" not in await opened(bench):
            await moment()
    put_back(bench, backup)
    async with bench.router() as router:
        while not router.active:
            await moment()
    assert bench.standing()._kept is None


async def opened(bench: Bench) -> list[str]:
    return [f"alice.{one.fact.task}" for one in await bench.log.read(("task.created.>",))]  # type: ignore[union-attr]


async def test_a_new_log_is_no_question(bench: Bench) -> None:
    await a_past(bench)
    bench.log = MemoryLog()
    await bench.register(host("a", 1))
    await bench.submit("t1")
    async with bench.router():
        await bench.fact(TaskRouted, task="t1")


async def test_a_second_restore_keeps_what_the_first_one_asked(bench: Bench) -> None:
    backup = await a_past(bench)
    put_back(bench, backup)
    async with bench.router() as router:
        await waiting(router)
        await bench.submit("t4")
        while "alice.t4" not in router.state.tasks:
            await moment()
    put_back(bench, backup)
    async with bench.router() as router:
        assert {one.task for one in (await waiting(router)).tasks} == {"t1", "t2"}


def test_an_empty_view_knows_nothing(tmp_path: Path, bench: Bench) -> None:
    standing = bench.standing()
    standing.remember(initial())
    assert standing.answer(initial()) == Restored()
    assert before(initial()).claimed == {}
