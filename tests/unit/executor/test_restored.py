"""When the log is another one what runs is dropped; then routes wait until a router leads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.executor import restored
from services.executor.attempt.call import Answer, Call
from services.executor.restored import Gate
from services.log.memory import MemoryLog
from services.log.port import AlreadyRecorded, Append, LogUnavailable
from services.store.stream import StoreError
from tests.unit.executor.world import fresh_key, world


async def test_the_gate_stays_shut_over_restarts_until_a_router_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restored, "LOOK_S", 0.0)
    path, asked = tmp_path / "restored" / "executor-1", asyncio.Event()
    answers: list[str | StoreError | None] = [None, StoreError("away"), None]

    async def leader() -> str | None:
        if not answers:
            asked.set()
            return None
        found = answers.pop()
        if isinstance(found, StoreError):
            raise found
        return found

    await Gate(path, leader).opened()
    assert len(answers) == 3, "it was never shut"
    Gate(path, leader).shut()
    waiting = asyncio.create_task(Gate(path, leader).opened())
    await asyncio.wait_for(asked.wait(), 10)
    assert not waiting.done()
    answers.append("router-1")
    await asyncio.wait_for(waiting, 10)
    await Gate(path, leader).opened()
    assert not path.exists()


class EndedLog(MemoryLog):
    """A log whose writer ends, as it does when the log is another one."""

    ended = False

    def _store(self, item: Append) -> int | AlreadyRecorded:
        if self.ended:
            raise LogUnavailable("the writer has ended")
        return super()._store(item)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_runs_is_dropped_and_nothing_of_it_is_recorded(
    tmp_path: Path, cancelled: bool
) -> None:
    async def working(call: Call) -> Answer:
        await call.begin()
        await asyncio.Event().wait()
        return Answer([])

    log = EndedLog()
    async with world(tmp_path, fresh_key(tmp_path), script=working, log=log) as one:
        await one.task()
        async with asyncio.timeout(30):
            await one.pool.called.wait()
            log.ended, head = True, await log.head()
            if cancelled:
                one.executor._cancel("alice", "t1", "its user wished so")
            await one.executor.abandon()
        assert one.executor.busy == 0
        assert await log.head() == head
        assert not one.executor._tasks
