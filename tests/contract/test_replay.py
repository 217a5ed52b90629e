"""Long history read through a consumer: the same as by direct gets, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from contracts.facts import Record
from services.bus.bus import Bus, PermissionDenied
from services.bus.names import replay_consumers
from services.log import replay
from services.log.jetstream import NatsLog
from services.log.port import Append, Batch, Checkpoint, LogUnavailable
from services.log.read import Reader
from services.log.replay import Replay
from services.log.wire import Wire, numbered_of
from tests.support import facts
from tests.support.nats import NatsServer

EVERYTHING = (">",)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FILTERS = (
    EVERYTHING,
    ("task.created.>",),
    ("task.created.>", "job.done.>"),
    ("task.*.ann.>", "mcp.>"),
    ("mcp.preferred.nobody.>",),
)


@contextlib.asynccontextmanager
async def reading(server: NatsServer, role: str = "router") -> AsyncIterator[tuple[Reader, Wire]]:
    async with server.connected(role) as bus:
        wire = Wire(bus)
        await wire.start()
        yield Reader(wire), wire


async def filled(server: NatsServer, count: int) -> int:
    """Put facts of several kinds into the log; its head."""
    async with server.connected("gateway") as bus, await NatsLog.open(bus) as log:
        for start in range(0, count, 500):
            items = [
                Append(facts.created(("ann", "bob", "cay")[n % 3]), None, TRACE if n % 5 else "")
                for n in range(start, min(count, start + 500))
            ]
            await log.append_all(items)
        return await log.head()


async def unread(bus: Bus, count: int) -> None:
    """What no release has written yet stands in the log as well."""
    for n in range(count):
        fact = {"type": "task.created", "id": f"x{n}", "future": n}
        await bus.publish(f"task.created.ann.t{n}", msgspec.json.encode(fact))


async def all_of(batches: AsyncIterator[Batch]) -> tuple[list[Record], Batch]:
    records: list[Record] = []
    async for batch in batches:
        records += batch.records
        assert not batch.records or batch.through >= batch.records[-1].seq
    return records, batch


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replay short logs too."""
    monkeypatch.setattr("services.log.read.LONG", 0)


async def test_it_is_what_direct_gets_read(fresh_nats: NatsServer) -> None:
    await filled(fresh_nats, 2500)
    async with fresh_nats.connected("gateway") as bus:
        await unread(bus, 3)
        await bus.flush()
    async with reading(fresh_nats) as (reader, wire):
        _, head = await reader.info()
        for filters in FILTERS:
            for after, until in ((0, head), (0, 1000), (999, 1999), (1500, head), (head - 1, head)):
                replayed = await Replay.begin(wire, filters, after)
                assert replayed is not None
                found, last = await all_of(replayed.batches(until))
                wanted, end = await all_of(reader.scan(filters, after, until))
                assert found == wanted
                assert (last.through, last.live) == (end.through, end.live) == (until, True)


async def test_what_is_written_meanwhile_is_not_missed_and_comes_once(
    fresh_nats: NatsServer, quick: None
) -> None:
    head = await filled(fresh_nats, 1500)
    seen: list[int] = []
    async with fresh_nats.connected("router") as bus, await NatsLog.open(bus) as log:
        follow = log.follow(EVERYTHING, Checkpoint("", 0, ""))
        async with asyncio.timeout(30), contextlib.aclosing(follow) as batches:
            more = 0
            async for batch in batches:
                seen += [record.seq for record in batch.records]
                if not more:
                    more = await filled(fresh_nats, 1200)
                if batch.through >= more:
                    break
    assert more == head + 1200
    assert seen == list(range(1, more + 1))


async def test_a_server_that_dies_meanwhile_loses_nothing(
    fresh_nats: NatsServer, quick: None
) -> None:
    head = await filled(fresh_nats, 6000)
    seen: list[int] = []
    async with fresh_nats.connected("router") as bus, await NatsLog.open(bus) as log:
        follow = log.follow(EVERYTHING, Checkpoint("", 0, ""))
        async with asyncio.timeout(50), contextlib.aclosing(follow) as batches:
            async for batch in batches:
                if not seen:
                    await fresh_nats.restart()
                seen += [record.seq for record in batch.records]
                if batch.through >= head:
                    break
    assert seen == list(range(1, head + 1))


async def test_a_consumer_that_is_gone_is_told_and_history_read_on(
    fresh_nats: NatsServer, quick: None
) -> None:
    head = await filled(fresh_nats, 3500)
    seen: list[int] = []
    name = replay_consumers("router")[0]
    async with fresh_nats.connected("router") as bus, await NatsLog.open(bus) as log:
        follow = log.follow(EVERYTHING, Checkpoint("", 0, ""))
        async with asyncio.timeout(30), contextlib.aclosing(follow) as batches:
            async for batch in batches:
                if not seen:
                    await bus.request(f"$JS.API.CONSUMER.DELETE.METAMCP.{name}", b"", timeout=5)
                seen += [record.seq for record in batch.records]
                if batch.through >= head:
                    break
    assert seen == list(range(1, head + 1))


async def test_a_fact_that_is_lost_on_the_way_is_noticed(
    fresh_nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = await filled(fresh_nats, 1200)
    take = replay.ReplayPull.take

    def forgetful(pull: replay.ReplayPull, message: object) -> None:
        if numbered_of(message).seq != 700:  # type: ignore[arg-type]
            take(pull, message)  # type: ignore[arg-type]

    monkeypatch.setattr(replay.ReplayPull, "take", forgetful)
    async with reading(fresh_nats) as (_, wire):
        replayed = await Replay.begin(wire, EVERYTHING, 0)
        assert replayed is not None
        with pytest.raises(LogUnavailable, match="fact 700 of a replay was lost"):
            await all_of(replayed.batches(head))


async def test_each_reading_has_a_consumer_of_its_own_and_leaves_none(
    fresh_nats: NatsServer,
) -> None:
    head = await filled(fresh_nats, 1500)
    async with reading(fresh_nats) as (_, wire), fresh_nats.connected("operator") as operator:
        begun = [await Replay.begin(wire, EVERYTHING, 0) for _ in replay_consumers("router")]
        assert await Replay.begin(wire, EVERYTHING, 0) is None
        for one in begun:
            assert one is not None
            found, _ = await all_of(one.batches(head))
            assert len(found) == head
        async with asyncio.timeout(10):
            while await _consumers(operator) != 1:
                await asyncio.wait([asyncio.ensure_future(operator.flush())])


async def test_permissions_of_an_earlier_release_cost_one_wait(
    fresh_nats: NatsServer, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = await filled(fresh_nats, 1100)
    monkeypatch.setattr("services.log.wire.REQUEST_TIMEOUT_S", 0.3)
    # Names that are another service's are as little allowed as all were.
    monkeypatch.setattr(replay, "replay_consumers", lambda _: ("replay_results_0",))
    async with reading(fresh_nats) as (reader, wire):
        denied: list[PermissionDenied] = []
        wire.bus.on_denied.append(lambda _, error: denied.append(error))
        for _ in range(2):
            found, last = await all_of(reader.replay(EVERYTHING, 0, head))
            assert [record.seq for record in found] == list(range(1, head + 1))
            assert last.live
        assert len(denied) == 1


async def _consumers(operator: Bus) -> int:
    answer = await operator.request("$JS.API.STREAM.INFO.METAMCP", b"", timeout=5)
    return int(msgspec.json.decode(answer)["state"]["consumer_count"])
