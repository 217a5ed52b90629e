"""A replica that has not heard of something yet: "not there" is the leader's alone to say."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from contracts import subjects
from contracts.facts import AnyFact, Record, TaskCreated
from contracts.result import Kept, inline, sha256_hex
from contracts.subjects import job_head
from services.executor.attempt.attempt import Attempt
from services.executor.attempt.runner import Ports, Runner
from services.executor.permits.keyring import Keyring
from services.executor.settings import Settings
from services.log.jetstream import NatsLog
from services.log.memory import MemoryDelivery, MemoryQueue
from services.log.port import AlreadyRecorded, Checkpoint, LogUnavailable
from services.results.sources import InLog
from services.store.blobs import BlobMissing, Blobs
from services.store.kv import Bucket
from services.store.lease import Leases
from tests.support import facts
from tests.support.lagging import DIRECT, LaggingWire, deaf_store, lag, opened
from tests.support.nats import NatsServer

__all__ = ["deaf_store"]

VALUE = b'{"a":1}'


async def written(server: NatsServer, *what: AnyFact, role: str = "gateway") -> list[int]:
    async with opened(server, role) as log:
        return [await log.append(fact) for fact in what]


def lagging_at(log: NatsLog, seq: int) -> LaggingWire:
    return lag(log, seq)


async def test_what_a_replica_lacks_is_found_all_the_same(nats_server: NatsServer) -> None:
    user = facts.name("u")
    tasks = [facts.name() for _ in range(4)]
    seqs = await written(nats_server, *(facts.created(user, task) for task in tasks))
    wanted = [subjects.created(user, task) for task in tasks]
    mine = f"task.created.{user}.>"
    for through in (0, seqs[1], seqs[3]):
        async with opened(nats_server, "router") as log:
            lag(log, through)
            record = await log.at(seqs[3])
            assert record is not None
            assert isinstance(record.fact, TaskCreated)
            assert await log.last(mine) == await log.last(wanted[3]) == record
            found = [await log.read((mine,), reach=seqs[3])]
            found += [await log.read_last(wanted, reach=seqs[3])]
            scanned = log.scan((mine, "job.done.>"), seqs[0] - 1, seqs[3])
            found += [[record async for batch in scanned for record in batch.records]]
            for records in found:
                assert [(r.seq, r.subject) for r in records] == list(zip(seqs, wanted, strict=True))
                assert records[3] == record


async def test_what_is_nowhere_is_nowhere(nats_server: NatsServer) -> None:
    async with opened(nats_server, "auditor") as log:
        head = await log.head()
        lag(log)
        user, task = facts.name("u"), facts.name()
        assert await log.at(head + 1) is await log.last(f"job.*.{user}.>") is None
        assert await log.read(subjects.of_task(user, task), reach=head) == []
        with pytest.raises(LogUnavailable, match="is known to reach"):
            await log.read_last([subjects.created(user, task)], reach=head + 10**6)


async def test_nobody_is_asked_twice_for_what_the_first_has(nats_server: NatsServer) -> None:
    user, task = facts.name("u"), facts.name()
    (seq,) = await written(nats_server, facts.created(user, task))
    async with opened(nats_server, "executor") as log:
        up_to_date = lag(log, await log.head())
        assert await log.at(seq)
        assert await log.read_last([subjects.created(user, task)], reach=seq)
        assert await log.read(subjects.of_task(user, task), reach=seq)
        assert [DIRECT in subject for subject in up_to_date.asked] == [True] * 3
    async with opened(nats_server, "executor") as log:
        alone = lag(log)
        log._reader.leader.replicated = False
        assert await log.read_last([subjects.created(user, task)], reach=seq) == []
        assert len(alone.asked) == 1, "the only server there is has said so"


async def test_a_refused_append_is_read_back_from_the_leader(nats_server: NatsServer) -> None:
    user, task, other = facts.name("u"), facts.name(), facts.name()
    failed = [facts.failed(user, name, 1) for name in (task, other)]
    first, _ = await written(nats_server, *failed, role="executor")
    async with opened(nats_server, "executor") as log, asyncio.timeout(20):
        lag(log, first - 1)
        assert await log.append(failed[0]) == first, "it was ours"
        for fact, guard in (
            (facts.failed(user, task, 1), None),
            (facts.signed(user, task, 2), job_head(user, task, 0)),
        ):
            with pytest.raises(AlreadyRecorded) as refused:
                await log.append(fact, guard)
            assert refused.value.record is not None
            assert refused.value.record.seq == first
        assert await log.append(facts.signed(user, task, 2), job_head(user, task, first))


async def test_a_follower_misses_nothing_and_takes_the_log_for_no_other(
    nats_server: NatsServer,
) -> None:
    user = facts.name("u")
    news = [facts.created(user) for _ in range(5)]
    seqs = await written(nats_server, *news)
    async with opened(nats_server, "results") as log, asyncio.timeout(20):
        lag(log, seqs[2])
        got: list[Record] = []
        mark = Checkpoint(log.epoch, seqs[3], news[3].id)
        for start in (Checkpoint(log.epoch, seqs[0], news[0].id), mark):
            got.clear()
            async with contextlib.aclosing(log.follow((">",), start)) as batches:
                async for batch in batches:
                    got += batch.records
                    if batch.through >= seqs[4]:
                        break
            wanted = [seq for seq in seqs if seq > start.seq]
            assert [r.seq for r in got if r.subject.split(".")[2] == user] == wanted


async def test_an_executor_finds_the_task_that_a_route_names(nats_server: NatsServer) -> None:
    user, task = facts.name("u"), facts.name()
    created = facts.created(user, task)
    await written(nats_server, created)
    routed = facts.routed(user, task)
    (seq,) = await written(nats_server, routed, role="router")
    async with opened(nats_server, "executor") as log:
        lag(log, seq - 2)
        runner = Runner(Ports(log, *[None] * 5), Settings(), "executor-1")  # type: ignore[arg-type]
        attempt = Attempt(routed, MemoryDelivery(MemoryQueue(), "", seq, b""))
        assert (await runner.read([attempt])).created == {(user, task): created}
        attempt.span.end()


async def test_an_executor_that_has_just_announced_its_key_signs_with_it(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    quick = Settings(permit_algorithm="EdDSA", permit_overlap_s=0.0)
    async with opened(nats_server, "executor") as log:
        lag(log, await log.head())
        ring = Keyring(tmp_path, log, quick, "executor-1")
        await ring.open()
        assert ring.signer.key.kid
        again = Keyring(tmp_path, log, quick, "executor-1")
        await again.open()
        assert again.signer.key.kid == ring.signer.key.kid


async def test_results_find_the_value_that_their_table_names(nats_server: NatsServer) -> None:
    user, task = facts.name("u"), facts.name()
    done = facts.done(user, task, result=inline(VALUE))
    (seq,) = await written(nats_server, done, role="executor")
    digest = sha256_hex(VALUE)
    kept = Kept(task, user, "inline", "", len(VALUE), digest, "", 0.0, seq, "", 1)
    async with opened(nats_server, "results") as log:
        lag(log, seq - 1)
        assert await InLog(log).value(kept) == VALUE


async def test_a_big_fact_comes_from_the_leader_too(nats_server: NatsServer) -> None:
    big = facts.created(invalid="x" * 1_000_000)
    (seq,) = await written(nats_server, big)
    async with opened(nats_server, "router") as log:
        lag(log)
        record = await log.at(seq)
        assert record is not None
        assert record.fact == big


@pytest.mark.usefixtures("deaf_store")
async def test_values_blobs_and_leases_are_found(nats_server: NatsServer) -> None:
    async with nats_server.connected("gateway") as bus:
        key, bucket = facts.name("k"), Bucket(bus, subjects.TOKENS_BUCKET)
        revision = await bucket.put(key, b"one")
        assert revision is not None
        found = await bucket.get(key)
        assert found == (b"one", revision)
        changes = await bucket.changes(revision - 1)
        assert (key, b"one", revision) in changes
        assert (await bucket.all())[key] == found
        assert await bucket.get(facts.name("k")) is None
        blobs, data = Blobs(bus), b"x" * 1_300_000
        pointer = await blobs.put(facts.name("u"), data, "text/plain")
        assert await blobs.info(pointer.uri) == pointer
        assert await blobs.read(pointer) == data
        assert await blobs.delete(pointer.uri)
        with pytest.raises(BlobMissing):
            await blobs.info(pointer.uri)
    async with nats_server.connected("router") as bus:
        leases = Leases(bus)
        lease = await leases.acquire("router", "one", 30)
        assert lease is not None
        assert await leases.holder("router") == "one"
        await leases.release(lease)
