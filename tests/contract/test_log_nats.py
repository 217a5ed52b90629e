"""What only the log over JetStream can show: crashes, silence, refusals by the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import pytest

from contracts import subjects
from contracts.facts import Record
from contracts.subjects import job_head
from services.bus.bus import Bus, PermissionDenied
from services.bus.streams import difference
from services.log.inbox import NatsInbox, Pull
from services.log.jetstream import STREAM_CONFIG, NatsLog, verify
from services.log.port import Append, Checkpoint, LogMismatch, LogUnavailable
from services.log.wire import Wire, epoch_seconds
from tests.support import facts
from tests.support.nats import NatsServer

EVERYTHING = (">",)


@contextlib.asynccontextmanager
async def opened(server: NatsServer, role: str) -> AsyncIterator[NatsLog]:
    async with server.connected(role) as bus, await NatsLog.open(bus) as log:
        yield log


async def follow_until(log: NatsLog, records: list[Record], done: Callable[[], bool]) -> None:
    async with contextlib.aclosing(log.follow(EVERYTHING, Checkpoint("", 0, ""))) as batches:
        async for batch in batches:
            records += batch.records
            if done():
                return


async def test_kills_during_appends_lose_nothing_and_followers_see_no_gap(
    fresh_nats: NatsServer,
) -> None:
    async with opened(fresh_nats, "gateway") as log, opened(fresh_nats, "auditor") as reader:
        seqs: list[int] = []
        total = 3000

        async def write(number: int) -> None:
            for _ in range(total // 100):
                seqs.append(await log.append(facts.created(f"u{number}")))

        seen: list[Record] = []
        following = asyncio.create_task(follow_until(reader, seen, lambda: len(seen) >= total))
        async with asyncio.timeout(50):
            writers = asyncio.gather(*(write(n) for n in range(100)))
            for _ in range(3):
                before = len(seqs)
                while len(seqs) < before + 200 and not writers.done():
                    await asyncio.wait([writers], timeout=0.01)
                await fresh_nats.restart()
            await writers
            await following
    assert sorted(seqs) == list(range(1, total + 1))
    assert [record.seq for record in seen] == list(range(1, total + 1))
    assert len({record.fact.id for record in seen}) == total


async def test_an_append_whose_answer_never_came_is_read_back(fresh_nats: NatsServer) -> None:
    async with opened(fresh_nats, "executor") as log:
        fresh_nats.pause()
        task = facts.name()
        appending = asyncio.create_task(log.append(facts.signed("u", task), job_head("u", task, 0)))
        done, _ = await asyncio.wait([appending], timeout=0.3)
        assert not done
        await fresh_nats.restart()
        async with asyncio.timeout(20):
            seq = await appending
        record = await log.at(seq)
        assert record is not None
        assert subjects.parse(record.subject).task == task
        assert await log.head() == seq


async def test_a_fact_of_another_service_is_denied_at_once(nats_server: NatsServer) -> None:
    async with opened(nats_server, "gateway") as log, asyncio.timeout(4):
        with pytest.raises(PermissionDenied):
            await log.append(facts.done("u", facts.name()))
        assert await log.append(facts.created()) > 0


async def test_denied_among_many_harms_only_itself(nats_server: NatsServer) -> None:
    async with opened(nats_server, "gateway") as log, asyncio.timeout(20):
        forbidden = asyncio.create_task(log.append(facts.done("u", facts.name())))
        allowed = await log.append_all([Append(facts.created()) for _ in range(300)])
        assert all(isinstance(outcome, int) for outcome in allowed)
        with pytest.raises(PermissionDenied):
            await forbidden


async def test_a_stream_configured_otherwise_is_refused(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("operator") as bus:
        wire = Wire(bus)
        await wire.start()
        changed = STREAM_CONFIG | {"max_msgs_per_subject": 5}
        await update(wire, changed)
        with pytest.raises(LogMismatch, match="max_msgs_per_subject is 5, not 1"):
            await verify(wire)


async def update(wire: Wire, config: dict[str, object]) -> None:
    await wire.api(f"$JS.API.STREAM.UPDATE.{subjects.STREAM}", json.dumps(config).encode())


async def test_a_server_without_the_log_is_refused_with_what_to_do(tmp_path) -> None:  # type: ignore[no-untyped-def]
    server = NatsServer(tmp_path / "data")
    await server.start(provision=False)
    try:
        async with server.connected("router") as bus:
            with pytest.raises(LogMismatch, match="metamcp provision"):
                await NatsLog.open(bus)
    finally:
        await server.stop()


async def test_a_slow_follower_falls_back_to_reading_history(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.log.follow.LIVE_BYTES", 2000)
    async with opened(nats_server, "gateway") as log:
        start = await facts.here(log)
        follow = log.follow(EVERYTHING, start)
        got: list[int] = []
        last = 0
        async with asyncio.timeout(20), contextlib.aclosing(follow) as batches:
            async for batch in batches:
                got += [record.seq for record in batch.records]
                if not last:
                    facts_ = [Append(facts.created()) for _ in range(400)]
                    last = max(seq for seq in await log.append_all(facts_) if isinstance(seq, int))
                if batch.through >= last:
                    break
        assert got == list(range(start.seq + 1, last + 1))


async def test_routes_are_shared_out_acknowledged_and_come_again(fresh_nats: NatsServer) -> None:
    async with (
        fresh_nats.connected("gateway") as bus,
        await NatsLog.open(bus) as log,
        publisher(fresh_nats) as outside,
    ):
        inbox = log.inbox(subjects.INTAKE_STREAM, subjects.INTAKE_DURABLE)
        inbox.want(2)
        for number in range(3):
            await outside.publish("task.created", str(number).encode())
        async with asyncio.timeout(20):
            got = list(await inbox.receive())
            while len(got) < 2:
                got += await inbox.receive()
            assert [d.data for d in got] == [b"0", b"1"]
            assert got[0].subject == "intake.publisher.created.publisher"
            await got[0].ack()
            await got[1].nak()
            inbox.want(2)
            more = list(await inbox.receive())
            while len(more) < 2:
                more += await inbox.receive()
            assert sorted(d.data for d in more) == [b"1", b"2"]
            assert next(d for d in more if d.data == b"1").redelivered
            for delivery in more:
                await delivery.ack()
        await inbox.close()


@contextlib.asynccontextmanager
async def publisher(server: NatsServer) -> AsyncIterator[Bus]:
    async with server.connected("publisher") as bus:
        yield bus


async def test_an_inbox_goes_on_after_the_server_died(fresh_nats: NatsServer) -> None:
    async with (
        fresh_nats.connected("gateway") as bus,
        await NatsLog.open(bus) as log,
        fresh_nats.connected("publisher") as outside,
    ):
        inbox = log.inbox(subjects.INTAKE_STREAM, subjects.INTAKE_DURABLE)
        inbox.want(10)
        receiving = asyncio.create_task(inbox.receive())
        await asyncio.wait([receiving], timeout=0.2)
        await fresh_nats.restart()
        async with asyncio.timeout(20):
            await outside.wait_connected()
            await outside.publish("task.created", b"after")
            assert [d.data for d in await receiving] == [b"after"]
        await inbox.close()


async def test_the_log_says_when_nobody_answers(fresh_nats: NatsServer) -> None:
    async with opened(fresh_nats, "gateway") as log:
        fresh_nats.pause()
        with pytest.raises(LogUnavailable, match="no answer"):
            await log.head()
        fresh_nats.resume()


def test_the_servers_stamps_become_seconds() -> None:
    assert epoch_seconds("1970-01-01T00:01:00Z") == 60
    assert epoch_seconds("1970-01-01T00:01:00.25Z") == 60.25
    assert epoch_seconds("2026-11-22T13:24:53.261286069Z") == pytest.approx(1795353893.261286)


def test_differences_are_named_and_the_servers_additions_ignored() -> None:
    assert difference({"a": 1, "b": ["x", "y"]}, {"a": 1, "b": ["y", "x"], "c": 3}) == []
    assert difference({"r": {"src": ">"}}, {"r": {"src": "a"}}) == ["r.src is 'a', not '>'"]
    assert difference({"deny_delete": True}, {}) == ["deny_delete is False, not True"]


async def test_what_is_no_fact_passes_a_follower_by(nats_server: NatsServer) -> None:
    async with (
        nats_server.connected("gateway") as bus,
        await NatsLog.open(bus) as log,
        asyncio.timeout(20),
    ):
        start = await facts.here(log)
        got: list[int] = []
        follow = log.follow(EVERYTHING, start)
        last = 0
        async with contextlib.aclosing(follow) as batches:
            async for batch in batches:
                got += [record.seq for record in batch.records]
                if not last:
                    await bus.publish("live.intake.error.publisher", b"not a fact")
                    last = await log.append(facts.created())
                if batch.through >= last:
                    break
        assert got == list(range(start.seq + 1, last + 1))


async def test_a_writer_whose_answer_was_late_is_told_of_its_own_fact(
    fresh_nats: NatsServer,
) -> None:
    """Reads overtake writes inside a server that wakes up: our own fact is no refusal."""
    async with opened(fresh_nats, "executor") as log, asyncio.timeout(40):
        fresh_nats.pause()
        tasks = [facts.name() for _ in range(12)]
        claims = [facts.signed("u", task) for task in tasks]
        appending = asyncio.gather(
            *(log.append(c, job_head("u", t, 0)) for c, t in zip(claims, tasks, strict=True))
        )
        await asyncio.wait([appending], timeout=5.5)
        fresh_nats.resume()
        assert sorted(await appending) == list(range(1, 13))


async def test_one_fact_the_server_refuses_does_not_take_others_along(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.log.pending.MAX_FACT", 2**21)
    async with opened(nats_server, "gateway") as log, asyncio.timeout(40):
        crowd = [facts.created() for _ in range(60)]
        crowd[30] = facts.created(invalid="x" * (2**20 + 2**13))
        outcomes = await asyncio.gather(
            *(log.append(fact) for fact in crowd), return_exceptions=True
        )
        assert isinstance(outcomes.pop(30), LogUnavailable)
        assert all(isinstance(outcome, int) for outcome in outcomes)


async def test_what_nobody_waits_for_any_more_is_not_sent(fresh_nats: NatsServer) -> None:
    async with opened(fresh_nats, "gateway") as log, asyncio.timeout(30):
        fresh_nats.pause()
        sent = [asyncio.create_task(log.append(facts.created())) for _ in range(40)]
        await asyncio.wait(sent, timeout=0.2)
        given_up = [asyncio.create_task(log.append(facts.created("gone"))) for _ in range(40)]
        await asyncio.wait(given_up, timeout=0.1)
        for task in given_up:
            task.cancel()
        await asyncio.wait(given_up)
        await fresh_nats.restart()
        await asyncio.gather(*sent)
        await log.append(facts.created())
        assert await log.read(("task.created.gone.>",)) == []


def test_messages_are_counted_off_the_open_pulls_in_turn() -> None:
    inbox = object.__new__(NatsInbox)
    inbox._granted, inbox._free, inbox._news = 0, 0, asyncio.Event()
    inbox._pulls = {"a": Pull(3, 40), "b": Pull(1, 20)}
    seen = []
    for _ in range(4):
        inbox._count_off(15)
        seen.append({name: (pull.count, pull.size) for name, pull in inbox._pulls.items()})
    assert seen == [{"b": (1, 20), "a": (2, 25)}, {"a": (2, 25)}, {"a": (1, 10)}, {}]
    assert inbox._free == 0, "what one had left over is what the other has got too much"


async def test_a_writer_that_has_ended_keeps_nobody_waiting(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("gateway") as bus, asyncio.timeout(20):
        log = await NatsLog.open(bus)
        fresh_nats.pause()
        crowd = [asyncio.create_task(log.append(facts.created())) for _ in range(60)]
        await asyncio.wait(crowd, timeout=0.2)
        await log.close()
        for task in crowd:
            with pytest.raises(LogUnavailable, match="has ended"):
                await task
        with pytest.raises(LogUnavailable, match="has ended"):
            await log.append(facts.created())
        fresh_nats.resume()
