"""One timer for the limits of all attempts: each is interrupted at its own, and no other."""

from __future__ import annotations

import asyncio
import time

import pytest

from contracts.facts import encode
from services.executor.attempt.attempt import Attempt
from services.executor.attempt.deadlines import Deadlines
from services.log.memory import MemoryDelivery, MemoryQueue
from tests.unit.executor.world import routed, spec

LATER = 60.0


def running(task: str, left_s: float) -> Attempt:
    """An attempt that does nothing until it is interrupted."""
    fact = routed(task, spec())
    attempt = Attempt(fact, MemoryDelivery(MemoryQueue(), f"task.routed.{task}", 1, encode(fact)))
    attempt.deadline = time.monotonic() + left_s
    attempt.calling = True
    attempt.task = asyncio.create_task(_never())
    return attempt


async def _never() -> None:
    await asyncio.Event().wait()


async def interrupted(*attempts: Attempt) -> list[float]:
    """Wait for the end of these; by how much each was interrupted too late."""
    late: list[float] = []
    for attempt in attempts:
        assert attempt.task is not None
        await asyncio.wait([attempt.task], timeout=5)
        late.append(time.monotonic() - attempt.deadline)
        assert attempt.task.cancelled()
        assert attempt.expired
    return late


async def ended(*attempts: Attempt) -> None:
    for attempt in attempts:
        assert attempt.task is not None
        attempt.task.cancel()
        await asyncio.wait([attempt.task])


async def test_each_is_interrupted_at_its_own_deadline() -> None:
    deadlines = Deadlines()
    first, second, third = running("a", 0.05), running("b", 0.1), running("c", LATER)
    for attempt in (third, first, second):
        deadlines.watch(attempt)
    early = await interrupted(first)
    assert not second.expired
    assert min(early + await interrupted(second)) > -0.005
    assert not third.expired
    await ended(third)


async def test_one_that_was_let_go_is_left_alone_and_the_next_is_not_forgotten() -> None:
    deadlines = Deadlines()
    gone, next_ = running("a", 0.02), running("b", 0.06)
    deadlines.watch(gone)
    deadlines.watch(next_)
    deadlines.release(gone)
    await interrupted(next_)
    assert not gone.expired
    await ended(gone)


async def test_a_limit_that_is_over_already_interrupts_at_once() -> None:
    deadlines, late = Deadlines(), running("a", -1.0)
    deadlines.watch(late)
    await interrupted(late)


async def test_thousands_of_attempts_need_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, made = asyncio.get_running_loop(), list[float]()
    call_at = loop.call_at

    def counted(when: float, *rest: object) -> asyncio.TimerHandle:
        made.append(when)
        return call_at(when, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", counted)
    deadlines, attempts = Deadlines(), [running(f"t{n}", LATER + n) for n in range(2000)]
    for attempt in attempts:
        deadlines.watch(attempt)
        deadlines.release(attempt)
    assert len(made) == 1
    await ended(*attempts)


async def test_a_wish_to_stop_counts_for_more_than_the_limit() -> None:
    attempt = running("a", LATER)
    absorbed: list[tuple[bool, bool]] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            absorbed.append((attempt.absorb(), attempt.expired))

    await ended(attempt)
    attempt.task = asyncio.create_task(work())
    await asyncio.wait([attempt.task], timeout=0.001)
    attempt.expire()
    attempt.cancel("changed my mind")
    await attempt.task
    assert absorbed == [(True, False)]
    assert attempt.task.cancelling() == 0


async def test_a_cancellation_from_outside_stands_also_at_the_deadline() -> None:
    attempt = running("a", LATER)
    absorbed: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            absorbed.append(attempt.absorb())
            raise

    await ended(attempt)
    attempt.task = asyncio.create_task(work())
    await asyncio.wait([attempt.task], timeout=0.001)
    attempt.expire()
    attempt.task.cancel()
    await asyncio.wait([attempt.task])
    assert (absorbed, attempt.task.cancelled()) == ([False], True)
