"""Rows come together for one transaction until those are there that somebody waits for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.log.memory import MemoryLog
from services.log.port import Append, Batch
from services.log.projection import Projection, Pump
from tests.support import facts


@pytest.fixture
async def view(tmp_path: Path) -> AsyncIterator[Projection]:
    view = await Projection.open(tmp_path / "view.sqlite", (), 1)
    yield view
    await view.close()


async def batches(sizes: list[int]) -> list[Batch]:
    log = MemoryLog()
    await log.append_all([Append(facts.created()) for _ in range(sum(sizes))])
    records = await log.read((">",), limit=sum(sizes))
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    return [
        Batch(records[end - size : end], end, live=False)
        for size, end in zip(sizes, ends, strict=True)
    ]


async def test_whoever_waits_for_later_rows_cuts_no_gathering_short(view: Projection) -> None:
    pump = Pump(view, lambda _: [], None, gather_s=60.0)
    waiting = asyncio.create_task(view.reached(30, 60.0))
    writing = asyncio.create_task(pump.write())
    first, second, third = await batches([10, 10, 20])
    for batch in (first, second):
        await pump.take(batch, "epoch")
        await asyncio.wait([writing, waiting], timeout=0.05)
        assert view.position == 0
    await pump.take(third, "epoch")
    async with asyncio.timeout(10):
        assert await waiting
    assert view.position == 40
    await _ended(pump, writing)


async def test_rows_that_are_at_hand_are_written_for_who_waits(view: Projection) -> None:
    pump = Pump(view, lambda _: [], None, gather_s=60.0)
    writing = asyncio.create_task(pump.write())
    (batch,) = await batches([10])
    await pump.take(batch, "epoch")
    async with asyncio.timeout(10):
        assert await view.reached(5, 60.0)
    await _ended(pump, writing)


async def _ended(pump: Pump, writing: asyncio.Task[None]) -> None:
    pump.stop()
    with contextlib.suppress(asyncio.CancelledError):
        await writing
