"""What the router says of its queue: the order is the one in which it serves."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import TaskRouted
from contracts.queue import QueueRequest, WaitReason
from services.router.line import QueueLine
from tests.unit.router.bench import Bench
from tests.unit.router.test_queue import ANY, OTHER
from tests.unit.router.test_queue import Line as Waits
from tests.unit.router.world import host

ENTERED = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans(), st.integers(0, 90)),
    max_size=30,
)


@given(ENTERED, st.integers(0, 10), st.integers(0, 200))
def test_the_order_that_is_told_is_that_of_serving(
    entered: list[tuple[str, int, bool, int]], served: int, later: int
) -> None:
    line = Waits()
    for number, (user, rank, other, wait) in enumerate(entered):
        line.enter(f"t{number}", user, rank, OTHER if other else ANY)
        line.now += wait
        if number % 5 == 4:
            # One comes back: it stands in its lane twice.
            line.queue.leave(f"t{number}")
            line.seq -= 1
            line.enter(f"t{number}", user, rank, OTHER if other else ANY)
    for _ in range(min(served, len(line.queue))):
        line.take()
    line.now += later
    told = [place.key for place in line.queue.order(line.now)]
    assert told == [place.key for place in line.queue.order(line.now)]
    assert told == line.drain()


async def test_who_waits_hears_where_and_for_what(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.register(host("a", 1), host("b", 1, "other"))
    async with bench.router() as router:
        line = QueueLine(router, "router-1")
        await bench.submit("t1")
        await bench.fact(TaskRouted, task="t1")
        for task in ("t2", "t3"):
            await bench.submit(task)
        await bench.submit("t4", delay_s=900.0)
        await bench.submit("o1", type="other")
        await bench.fact(TaskRouted, task="o1")
        await router._fold(await bench.log.head())
        found = line.answer(QueueRequest(), time.monotonic())
        assert (found.active, found.term, found.waiting, found.every) == (True, 1, 2, 2)
        assert [(one.position, one.task, one.reason, one.hosts) for one in found.tasks] == [
            (1, "t2", WaitReason.HOST_BUSY, ("a",)),
            (2, "t3", WaitReason.HOST_BUSY, ("a",)),
        ]
        assert {one.reason: one.count for one in found.waits} == {
            WaitReason.HOST_BUSY: 2,
            WaitReason.LATER: 1,
        }
        assert found.hosts == {"a": 1, "b": 1}
        again = line.answer(QueueRequest(user="alice", after=1, limit=5), time.monotonic())
        assert [one.task for one in again.tasks] == ["t3"]
        others = line.answer(QueueRequest(user="bob"), time.monotonic())
        assert (others.tasks, others.waits, others.waiting, others.every) == ((), (), 0, 2)
    idle = line.answer(QueueRequest(), time.monotonic())
    assert (idle.active, idle.term, idle.tasks) == (False, 1, ())
