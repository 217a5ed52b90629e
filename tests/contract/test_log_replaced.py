"""A log that becomes another one under living services: they write nothing to it, and end."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest

from contracts.facts import Record
from services.gateway.settings import Settings
from services.join import join
from services.log.jetstream import NatsLog
from services.log.port import Checkpoint, LogUnavailable
from services.log.watch import LogReplaced, Past, SeenFact
from services.process import run
from services.process.run import Process
from services.process.settings import Common
from tests.support import facts
from tests.support.backup import Backup
from tests.support.nats import NatsServer


@pytest.fixture
def backup(fresh_nats: NatsServer, tmp_path: Path) -> Backup:
    return Backup(fresh_nats, tmp_path / "aside")


async def test_nothing_is_written_to_a_log_put_back_under_its_writer(
    fresh_nats: NatsServer, backup: Backup
) -> None:
    async with fresh_nats.connected("gateway") as bus, await NatsLog.open(bus) as log:
        await log.append(facts.created())
        await backup.make()
        before = await patiently(log)
        await backup.put_back()
        late = asyncio.ensure_future(log.append(facts.created()))
        with pytest.raises(LogReplaced, match="ends at sequence"):
            await asyncio.wait_for(log.broken(), 20)
        with pytest.raises(LogUnavailable):
            await late
        assert log.replaced
        assert await log.head() == before - 1


async def patiently(log: NatsLog) -> int:
    """Append a fact, and return its sequence, also while the connection is coming back."""
    return await asyncio.wait_for(log.append(facts.created()), 20)


async def test_who_only_follows_is_told_too(fresh_nats: NatsServer, backup: Backup) -> None:
    async with (
        fresh_nats.connected("gateway") as bus,
        await NatsLog.open(bus) as writer,
        fresh_nats.connected("router") as other,
        await NatsLog.open(other) as log,
    ):
        await writer.append(facts.created())
        await backup.make()
        last = await patiently(writer)
        async with contextlib.aclosing(log.follow((">",), Checkpoint("", 0, ""))) as batches:
            while (await anext(batches)).through < last:
                pass
            await backup.put_back()
            with pytest.raises(LogReplaced):
                await asyncio.wait_for(anext(batches), 20)
        with pytest.raises(LogReplaced):
            await anext(log.follow((">",), Checkpoint("", 0, "")))


async def test_a_service_ends_and_says_why(fresh_nats: NatsServer, backup: Backup) -> None:
    one = Process("gateway", "gateway-1")

    async def main(own: Process) -> None:
        common = Common(nats_url=fresh_nats.url, data=fresh_nats.data)
        _, log = await join(own, common, Settings())
        await log.append(facts.created())
        await backup.make()
        await patiently(log)
        await backup.put_back()
        await own.stopping.wait()

    with pytest.raises(LogReplaced, match="begins anew"):
        await asyncio.wait_for(run.serve(main, one), 40)


async def test_a_restart_of_the_same_log_is_no_other_one(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("gateway") as bus, await NatsLog.open(bus) as log:
        for _ in range(3):
            await log.append(facts.created())
            await fresh_nats.restart(bus)
        await log.append(facts.created())
        await log.look()
        assert not log.replaced


@pytest.mark.parametrize(
    ("epoch", "head", "fact", "text"),
    [
        ("another", 9, "a", "created at another"),
        ("first", 4, "a", "ends at sequence 4"),
        ("first", 9, "b", "another fact"),
    ],
)
async def test_what_was_seen_is_held_against_the_log(
    epoch: str, head: int, fact: str, text: str
) -> None:
    past, seen = Past("first"), SeenFact(5, "a")

    async def at(seq: int) -> Record:
        return Record(
            seq, 0.0, "task.created.u.t", msgspec.structs.replace(facts.created(), id=fact), b""
        )

    with pytest.raises(LogReplaced, match=text):
        await past.check(seen, epoch, head, at, again=True)
