"""A live message that gets lost is noticed soon, also by those who follow a part of the log."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from services.bus.client import Message
from services.log.follow import PROBE_S, Follower
from services.log.jetstream import NatsLog
from services.log.read import Reader
from tests.support import facts
from tests.support.nats import NatsServer


@pytest.mark.parametrize("whole", [True, False], ids=["everything", "one user"])
async def test_a_lost_live_message_is_noticed_within_seconds(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    user = facts.name("u")
    heard = asyncio.Event()

    def lose(self: Follower, message: Message) -> None:
        heard.set()

    monkeypatch.setattr(Follower, "_on_live", lose)
    async with nats_server.connected("gateway") as bus, await NatsLog.open(bus) as log:
        filters = (">",) if whole else (f"task.created.{user}.>", f"task.cancelled.{user}.>")
        start = await facts.here(log)
        async with contextlib.aclosing(log.follow(filters, start)) as batches:
            assert (await anext(batches)).live
            coming = asyncio.ensure_future(anext(batches))
            await asyncio.wait([coming], timeout=0.1)
            seq = await log.append(facts.created(user))
            async with asyncio.timeout(PROBE_S + 5):
                await heard.wait()
                batch = await coming
        assert [record.seq for record in batch.records] == [seq]


async def test_a_quiet_log_is_asked_one_small_question(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.log.follow.PROBE_S", 0.05)
    asked: list[str] = []
    enough = asyncio.Event()
    info, last = Reader.info, Reader.last

    async def counted(self: Reader) -> tuple[str, int]:
        asked.append("info")
        if asked.count("info") > 5:
            enough.set()
        return await info(self)

    async def looked(self: Reader, filter_: str) -> object:
        asked.append("last")
        return await last(self, filter_)

    monkeypatch.setattr(Reader, "info", counted)
    monkeypatch.setattr(Reader, "last", looked)
    async with nats_server.connected("gateway") as bus, await NatsLog.open(bus) as log:
        start = await facts.here(log)
        filters = (f"task.created.{facts.name('u')}.>",)
        async with contextlib.aclosing(log.follow(filters, start)) as batches:
            assert (await anext(batches)).live
            coming = asyncio.ensure_future(anext(batches))
            async with asyncio.timeout(20):
                await enough.wait()
            coming.cancel()
            await asyncio.wait([coming])
    assert asked.count("last") <= 1, "the log stood still"
