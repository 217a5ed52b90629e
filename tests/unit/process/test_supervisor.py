"""Mailboxes hold back senders; supervisors restart, and give up in the end."""

from __future__ import annotations

import asyncio

import pytest

from services.process.supervisor import Closed, Escalated, Mailbox, Supervisor

QUICK = (0.001, 0.002)


async def test_messages_come_out_in_order_and_a_full_box_makes_senders_wait() -> None:
    box: Mailbox[int] = Mailbox(2)
    await box.put(1)
    await box.put(2)
    third = asyncio.create_task(box.put(3))
    done, _ = await asyncio.wait([third], timeout=0.05)
    assert not done
    assert await box.get() == 1
    await third
    assert await box.get_many(10) == [2, 3]


async def test_a_closed_box_gives_what_it_holds_and_takes_no_more() -> None:
    box: Mailbox[str] = Mailbox(3)
    await box.put("last")
    await box.close()
    with pytest.raises(Closed):
        await box.put("too late")
    assert await box.get() == "last"
    with pytest.raises(Closed):
        await box.get()


async def test_a_waiting_reader_is_told_of_the_end() -> None:
    box: Mailbox[str] = Mailbox(1)
    reader = asyncio.create_task(box.get())
    await asyncio.wait([reader], timeout=0.02)
    await box.close()
    with pytest.raises(Closed):
        await reader


async def test_a_child_that_fails_is_started_again_until_it_ends() -> None:
    runs: list[int] = []

    async def child() -> None:
        runs.append(1)
        if len(runs) < 4:
            raise ConnectionError("not yet")

    supervisor = Supervisor("test", backoff=QUICK)
    supervisor.start("child", child)
    async with asyncio.timeout(30):
        await supervisor.run()
    assert len(runs) == 4


async def test_a_child_that_keeps_failing_escalates_and_takes_the_others_along() -> None:
    cancelled = asyncio.Event()

    async def steady() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def hopeless() -> None:
        raise ConnectionError("for ever")

    supervisor = Supervisor("test", intensity=3, backoff=QUICK)
    supervisor.start("steady", steady)
    supervisor.start("hopeless", hopeless)
    async with asyncio.timeout(30):
        with pytest.raises(Escalated, match="hopeless failed 4 times") as error:
            await supervisor.run()
    assert isinstance(error.value.__cause__, ConnectionError)
    assert cancelled.is_set()


async def test_one_child_can_be_stopped_and_its_name_used_again() -> None:
    started = asyncio.Event()

    async def child() -> None:
        started.set()
        await asyncio.Event().wait()

    supervisor = Supervisor("test")
    supervisor.start("a", child)
    with pytest.raises(ValueError, match="already has a child a"):
        supervisor.start("a", child)
    await started.wait()
    await supervisor.stop("a")
    started.clear()
    supervisor.start("a", child)
    async with asyncio.timeout(30):
        await started.wait()
    await supervisor.close()
