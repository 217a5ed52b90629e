"""A question is asked once for all who wait, and not again too soon."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from services.process.shared import FRESH_S, Shared


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_an_answer_is_shared_by_all_who_wait_and_kept_for_a_second() -> None:
    clock, asked, go = Clock(), asyncio.Event(), asyncio.Event()
    times = 0

    async def ask() -> int:
        nonlocal times
        times += 1
        asked.set()
        await go.wait()
        return times

    shared = Shared(ask, clock=clock)
    waiting = [asyncio.create_task(shared.answer()) for _ in range(5)]
    await asked.wait()
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    go.set()
    assert await asyncio.gather(*waiting[1:]) == [1] * 4, "whoever goes away takes nothing along"
    clock.now += FRESH_S * 0.99
    assert await shared.answer() == 1
    clock.now += FRESH_S * 0.01
    assert [await shared.answer() for _ in range(2)] == [2, 2]


async def test_a_failure_is_shared_and_forgotten_like_any_answer() -> None:
    clock, times = Clock(), 0

    async def ask() -> None:
        nonlocal times
        times += 1
        raise LookupError(times)

    shared = Shared(ask, 0.5, clock)
    for _ in range(2):
        with pytest.raises(LookupError, match=r"^1$"):
            await shared.answer()
    clock.now += 0.5
    with pytest.raises(LookupError, match=r"^2$"):
        await shared.answer()


async def test_everybody_may_go_away() -> None:
    go = asyncio.Event()

    async def ask() -> str:
        await go.wait()
        return "late"

    shared = Shared(ask)
    waiting = asyncio.create_task(shared.answer())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(waiting, 0.01)
    go.set()
    assert await shared.answer() == "late"
