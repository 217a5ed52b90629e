"""A store that was put back to an earlier state and has grown since: one epoch, two pasts."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from contracts import subjects, wire
from contracts.facts import Record
from services.gateway.stream.feed import Feed
from services.gateway.stream.history import History
from services.gateway.stream.subscription import Subscription
from services.log.jetstream import NatsLog
from services.log.port import START, Checkpoint, name_of
from services.log.projection import Change, Projection, project
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.stream.test_feed import Reader, marked, seqs

Filters = tuple[str, ...]
ALICES: Filters = subjects.of_user("alice")
SCHEMA = ("CREATE TABLE IF NOT EXISTS seen (seq INTEGER PRIMARY KEY, id TEXT)",)


def apply(records: list[Record]) -> Sequence[Change]:
    return [Change("INSERT INTO seen VALUES (?, ?)", [(r.seq, r.fact.id) for r in records])]


@contextlib.asynccontextmanager
async def opened(server: NatsServer) -> AsyncIterator[NatsLog]:
    async with server.connected("gateway") as bus, await NatsLog.open(bus) as log:
        yield log


async def write(server: NatsServer, *users: str) -> None:
    async with opened(server) as log:
        for user in users:
            await log.append(facts.created(user))


async def put_back(server: NatsServer, grow: Callable[[], Awaitable[None]]) -> None:
    """Copy the store, let it grow, and have the copy in its place."""
    kept = server.embedded.folder.with_name("kept")
    await server.stop()
    shutil.copytree(server.embedded.folder, kept)
    await server.start()
    await grow()
    await server.stop()
    shutil.rmtree(server.embedded.folder)
    kept.rename(server.embedded.folder)
    await server.start()


class Follow:
    """What a client was told."""

    def __init__(self, recovered: bool, sent: list[bytes]) -> None:
        self.recovered = recovered
        self.seqs = seqs(sent)
        self.end = marked(sent)


async def follow(log: NatsLog, after: int | str, past: wire.CaughtUp | None) -> Follow:
    """Subscribe to all that is alice's, as a gateway that has just begun."""
    feed, reader = Feed(facts=2, size=10**6), Reader()
    history = History(log, feed, 2, 10**6)

    async def feeding() -> None:
        async for batch in log.follow((">",), START):
            feed.publish(batch)

    running = asyncio.create_task(feeding())
    epoch, mark = (log.epoch, past.mark) if past else (None, None)
    request = wire.Subscribe(1, "s", after=after, epoch=epoch, mark=mark)  # type: ignore[arg-type]
    start = await history.start(request)
    subscription = Subscription(reader, request, "alice")
    subscription.cursor = start.after
    async with asyncio.timeout(20):
        await history.run(subscription, reader)
    running.cancel()
    await asyncio.wait([running])
    return Follow(start.recovered, reader.sent)


async def test_a_cursor_of_another_past_is_told_so(fresh_nats: NatsServer) -> None:
    await write(fresh_nats, "alice", "bob")
    ends: list[wire.CaughtUp] = []

    async def grow() -> None:
        await write(fresh_nats, "alice", "bob")
        async with opened(fresh_nats) as log:
            ends.append((await follow(log, "start", None)).end)

    await put_back(fresh_nats, grow)
    await write(fresh_nats, "alice", "alice", "bob", "alice")
    (end,) = ends
    assert (end.seq, len(end.mark)) == (4, 12)
    async with opened(fresh_nats) as log:
        assert not (await follow(log, end.seq, end)).recovered
        assert (await follow(log, end.seq, None)).recovered, "as an older client asks"
        again = await follow(log, "start", None)
        assert again.seqs == [1, 3, 4, 6]
        now = await follow(log, again.end.seq, again.end)
        assert (now.recovered, now.seqs, now.end) == (True, [], again.end)


@contextlib.asynccontextmanager
async def view(server: NatsServer, path: Path, filters: Filters) -> AsyncIterator[Projection]:
    """A view as it is once it has everything."""
    async with opened(server) as log:
        projection = await Projection.open(path, SCHEMA, 1)
        running = asyncio.create_task(project(log, projection, filters, apply, gather_s=0.0))
        try:
            # A view of another past may be further than the log by its number.
            newest = await log.at(await log.head())
            assert newest is not None
            async with asyncio.timeout(20):
                while projection.checkpoint != (log.epoch, newest.seq, name_of(newest)):
                    await projection._moved.wait()
            yield projection
        finally:
            running.cancel()
            await asyncio.wait([running])
            await projection.close()


@pytest.mark.parametrize("filters", [(">",), ALICES], ids=["everything", "one user"])
async def test_a_view_of_another_past_is_built_anew(
    fresh_nats: NatsServer, tmp_path: Path, filters: Filters
) -> None:
    path = tmp_path / "view.sqlite"
    await write(fresh_nats, "alice", "bob")

    async def grow() -> None:
        await write(fresh_nats, "alice", "bob")
        async with view(fresh_nats, path, filters) as one:
            assert one.checkpoint.fact_id, "bob's fact is named, although it is not seen"

    await put_back(fresh_nats, grow)
    await write(fresh_nats, "alice", "alice", "bob", "alice", "bob")
    async with view(fresh_nats, path, filters) as one, opened(fresh_nats) as log:
        records = await log.read(filters)
        assert await one.query("SELECT * FROM seen ORDER BY seq") == [
            (record.seq, record.fact.id) for record in records
        ]


async def test_a_view_that_names_no_fact_is_built_anew_once(
    fresh_nats: NatsServer, tmp_path: Path
) -> None:
    path = tmp_path / "view.sqlite"
    await write(fresh_nats, "alice", "bob")
    async with opened(fresh_nats) as log:
        earlier = await Projection.open(path, SCHEMA, 1)
        row = Change("INSERT INTO seen VALUES (?, ?)", [(1, "of an earlier release")])
        await earlier.commit([row], Checkpoint(log.epoch, 2, ""))
        await earlier.close()
    async with view(fresh_nats, path, ALICES) as one:
        (first,) = await one.query("SELECT id FROM seen")
        assert first != ("of an earlier release",)
        assert one.checkpoint.fact_id
