"""Older facts for streams: each is read once, and no user takes the others' places."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts import facts as kinds
from contracts import subjects, wire
from contracts.facts import McpRegistered
from contracts.host import Host, Stdio
from services.gateway.stream.feed import Feed
from services.gateway.stream.history import History, Readers
from services.gateway.stream.marks import mark_of
from services.log.memory import MemoryLog
from services.log.port import START, Append, Batches, name_of
from services.process.ids import new_id
from tests.support import facts as fact
from tests.unit.gateway.stream.test_feed import Client

HOSTS = 60


class CountingLog(MemoryLog):
    """Counts the registrations that are read only to know whose a host is."""

    looked = 0

    async def scan(self, filters: Sequence[str], after: int, until: int) -> Batches:
        async for batch in super().scan(filters, after, until):
            if tuple(filters) == (subjects.REGISTERED,):
                self.looked += len(batch.records)
            yield batch


def registered(n: int) -> McpRegistered:
    owner = [None, "alice", "bob"][n % 3]
    spec = Host(id=f"h{n % 4}", name="x" * 400, endpoint=Stdio("x"), owner=owner)
    return McpRegistered(id=new_id(), by="registry-1", host=spec.id, k=n, spec=spec)


def removed(n: int) -> kinds.McpRemoved:
    return kinds.McpRemoved(id=new_id(), by="registry-1", host=f"h{n % 4}", k=n)


async def follow(log: MemoryLog, feed: Feed) -> None:
    async for batch in log.follow((">",), START):
        feed.publish(batch)


async def test_history_of_hosts_reads_each_registration_once() -> None:
    log, feed = CountingLog(), Feed(facts=1, size=10**6)
    visible = []
    for n in range(HOSTS):
        seq = await log.append(registered(n))
        gone = await log.append(removed(n))
        visible += [seq, gone] if n % 3 != 2 else []
    feed.begin(0)
    following = asyncio.create_task(follow(log, feed))
    client = Client(History(log, feed, 2, 2_000), feed, "hosts", "alice")
    assert await client.finish() == visible
    assert log.looked <= HOSTS
    log.looked, after = 0, visible[30]
    late = Client(History(log, feed, 2, 2_000), feed, "hosts", "alice")
    late.got = [after]
    assert await late.finish() == visible[30:]
    assert log.looked <= HOSTS
    following.cancel()
    await asyncio.wait([following])


async def test_one_users_readers_leave_places_for_others() -> None:
    readers = Readers(4, lambda user: 2)
    inside: list[str] = []
    go = asyncio.Event()

    async def read(user: str) -> None:
        async with readers.place(user):
            inside.append(user)
            await go.wait()

    tasks = [asyncio.create_task(read("alice")) for _ in range(50)]
    tasks.append(asyncio.create_task(read("bob")))
    for _ in range(5):
        await asyncio.wait(tasks, timeout=0)
    assert sorted(inside) == ["alice", "alice", "bob"]
    go.set()
    async with asyncio.timeout(30):
        await asyncio.gather(*tasks)
    assert inside.count("alice") == 50
    assert readers._users == {}


class BlockedLog(MemoryLog):
    """A log that does not answer those who read for mallory."""

    async def scan(self, filters: Sequence[str], after: int, until: int) -> Batches:
        if any(".mallory." in one for one in filters):
            await asyncio.Event().wait()
        async for batch in super().scan(filters, after, until):
            yield batch


async def test_a_user_who_reads_much_does_not_hold_up_another() -> None:
    log, feed = BlockedLog(), Feed(facts=1, size=10**6)
    for n in range(4):
        await log.append(registered(3 * n))
    feed.begin(0)
    following = asyncio.create_task(follow(log, feed))
    history = History(log, feed, 3, 2_000)
    many = [Client(history, feed, "hosts", "mallory") for _ in range(30)]
    for client in many:
        await client.connect()
    assert await Client(history, feed, "hosts", "alice").finish() == [1, 2, 3, 4]
    for client in many:
        await client.cut(0)
    following.cancel()
    await asyncio.wait([following])


async def past_of(users: list[str], log: MemoryLog) -> list[str]:
    """Grow a log by a fact of each; the marks of its sequences, and of 0."""
    await log.append_all([Append(fact.created(user)) for user in users])
    marks = [""]
    for record in await log.read((">",), 1000):
        marks.append(mark_of(record.seq, name_of(record)))
    return marks


@given(st.data(), st.integers(0, 6), st.integers(0, 6), st.integers(0, 9), st.integers(0, 9))
async def test_a_cursor_is_taken_where_the_log_has_its_past(
    data: st.DataObject, same: int, other: int, grown: int, fed: int
) -> None:
    """`same` facts are in both pasts; to them came `other` ones, and `grown` in the other past."""
    first, log = MemoryLog(), MemoryLog()
    await past_of(["alice"] * same, first)
    await log.append_all([Append(record.fact) for record in await first.read((">",))])
    marks = await past_of(["bob"] * other, first)
    await past_of(["bob"] * grown, log)
    after = data.draw(st.integers(0, same + other))
    asked = wire.Subscribe(1, "s", after=after, epoch=log.epoch, mark=marks[after] or None)
    feed, at = Feed(facts=3, size=10**6), min(fed, same + grown)
    place = await log.at(at)
    feed.begin(at, name_of(place) if place else "")
    feed.live = True
    history = History(log, feed, 2, 2_000)
    start = await history.start(asked)
    assert (start.recovered, start.after) == ((True, after) if after <= same else (False, at))
    unmarked = await history.start(msgspec.structs.replace(asked, mark=None))
    assert unmarked.recovered == (after <= same + grown)
