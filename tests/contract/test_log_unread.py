"""What a newer release or a fault has stored, read by way of JetStream: nobody stops at it."""

from __future__ import annotations

import asyncio
import contextlib

from contracts import subjects
from contracts.facts import Record, Unknown
from contracts.subjects import job_head
from services.log.jetstream import NatsLog
from services.log.port import AlreadyRecorded, Checkpoint, name_of
from tests.support import facts
from tests.support.nats import NatsServer

LATER = b'{"type":"job.failed","id":"f1","by":"newer","kind":"moved_on"}'


async def test_what_cannot_be_read_is_followed_read_and_refuses_as_any_fact(
    nats_server: NatsServer,
) -> None:
    user, task = facts.name("u"), facts.name()
    stored = {
        f"job.failed.{user}.{task}.1": LATER,
        f"job.signed.{user}.{task}.1": b"\xff no fact",
    }
    async with (
        nats_server.connected("executor") as bus,
        await NatsLog.open(bus) as log,
        asyncio.timeout(30),
    ):
        start = await facts.here(log)
        seen: dict[str, Record] = {}
        async with contextlib.aclosing(log.follow((">",), start)) as batches:
            async for batch in batches:
                for subject in stored.keys() - seen.keys() if batch.live and not seen else ():
                    await bus.request(subject, stored[subject])
                seen |= {record.subject: record for record in batch.records}
                if stored.keys() <= seen.keys():
                    break
        for subject, data in stored.items():
            record = seen[subject]
            assert isinstance(record.fact, Unknown)
            assert (record.fact.subject, record.fact.data) == (subject, data)
            assert await log.at(record.seq) == await log.last(subject) == record
        assert seen[f"job.failed.{user}.{task}.1"].data == LATER
        assert (await log.read(subjects.of_task(user, task)))[0].seq > start.seq
        refused = await asyncio.gather(
            log.append(facts.failed(user, task, 1)),
            log.append(facts.done(user, task), job_head(user, task, 0)),
            return_exceptions=True,
        )
        assert [isinstance(error, AlreadyRecorded) for error in refused] == [True, True]
        # A view whose last record has no id that can be read goes on from there.
        damaged = seen[f"job.signed.{user}.{task}.1"]
        mark = Checkpoint(log.epoch, damaged.seq, name_of(damaged))
        async with contextlib.aclosing(log.follow((">",), mark)) as batches:
            assert await anext(batches)
