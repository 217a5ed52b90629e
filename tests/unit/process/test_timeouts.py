"""A limit of time inside a task that is being cancelled."""

from __future__ import annotations

import asyncio

import pytest

from services.process.timeouts import timeout


async def test_what_comes_after_a_limit_runs_in_a_cancelled_task_too() -> None:
    never, ran = asyncio.Event(), []

    async def work() -> None:
        try:
            await never.wait()
        finally:
            try:
                async with timeout(0.01):
                    await never.wait()
            except TimeoutError:
                ran.append("late")

    task = asyncio.create_task(work())
    await asyncio.wait([task], timeout=0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ran == ["late"]


async def test_a_cancellation_inside_a_limit_is_no_end_of_the_limit() -> None:
    never = asyncio.Event()

    async def work() -> None:
        async with timeout(60):
            await never.wait()

    task = asyncio.create_task(work())
    await asyncio.wait([task], timeout=0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_limit_ends_what_waits_and_none_ends_nothing() -> None:
    never = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with timeout(0):
            await never.wait()
    async with timeout(None):
        pass
