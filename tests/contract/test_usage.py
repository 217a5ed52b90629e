"""Bytes of users in the object store, counted by whoever stores some, on a real server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.budget import Budget, same_for_all
from contracts.errors import Reason, Rejected
from contracts.facts import FailureKind
from contracts.result import Pointer
from services.bus.bus import Bus
from services.bus.room import room
from services.executor.attempt import output
from services.executor.attempt.course import Course
from services.executor.attempt.ending import Broken, ending
from services.log import jetstream
from services.store import blobs as store
from services.store.blobs import Blobs, StoreFull
from tests.support.facts import name
from tests.support.nats import NatsServer

BUDGET = same_for_all(Budget(stored_bytes=250_000))
MB = 1_000_000


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with nats_server.connected("executor") as bus:
        yield bus


async def test_a_user_over_budget_is_refused_and_told_what_to_do(bus: Bus) -> None:
    user, blobs = name("u"), Blobs(bus, budget_of=BUDGET)
    first = await blobs.put(user, data := os.urandom(200_000))
    with pytest.raises(Rejected, match=r"budget stored_bytes: .* DELETE /api/blobs/") as refused:
        await blobs.put(user, os.urandom(60_000))
    assert refused.value.reason is Reason.TOO_LARGE
    assert await blobs.put(user, data) == first, "the same bytes are no more than before"
    await blobs.put(name("u"), os.urandom(200_000))
    assert await blobs.delete(first.uri)
    await blobs.put(user, os.urandom(60_000))
    assert await blobs.usage.of(user) == (60_000, 1)


async def test_what_another_process_stores_and_deletes_counts(
    nats_server: NatsServer, bus: Bus
) -> None:
    user = name("u")
    async with nats_server.connected("gateway") as elsewhere:
        here, there = Blobs(bus, budget_of=BUDGET), Blobs(elsewhere, budget_of=BUDGET)
        stored = await here.put(user, os.urandom(200_000))
        with pytest.raises(Rejected):
            await there.put(user, os.urandom(60_000))
        assert await there.delete(stored.uri)
        await here.put(user, os.urandom(60_000))
        late = Blobs(elsewhere, budget_of=BUDGET)
        assert await late.usage.of(user) == await there.usage.of(user) == (60_000, 1)


async def test_blobs_on_their_way_together_do_not_pass_the_budget(bus: Bus) -> None:
    user, blobs = name("u"), Blobs(bus, budget_of=BUDGET)
    data = [os.urandom(100_000) for _ in range(10)]
    outcomes = await asyncio.gather(*(blobs.put(user, one) for one in data), return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in outcomes) == 2
    assert await blobs.usage.of(user) == (200_000, 2)


async def test_many_small_blobs_are_bounded_too(bus: Bus) -> None:
    user, blobs = name("u"), Blobs(bus, budget_of=same_for_all(Budget(stored_blobs=2)))
    stored = [await blobs.put(user, b"%d" % n) for n in range(2)]
    with pytest.raises(Rejected, match=r"budget stored_blobs: .* has 2 blobs"):
        await blobs.put(user, b"one more")
    assert await blobs.put(user, b"1") == stored[1]
    assert await blobs.delete(stored[0].uri)
    await blobs.put(user, b"one more")


async def test_a_result_over_budget_ends_the_attempt_clearly_and_for_good(bus: Bus) -> None:
    user, blobs, course = name("u"), Blobs(bus, budget_of=BUDGET), Course()
    course.called = True
    await blobs.put(user, os.urandom(200_000))
    with pytest.raises(Rejected) as refused:
        await output.keep({"data": os.urandom(50_000).hex()}, user, blobs, 10**9, course)
    end = ending(course, refused.value, 60.0, late=False)
    assert isinstance(end, Broken)
    assert end.kind is FailureKind.TOO_LARGE
    assert "budget stored_bytes" in end.message
    assert not end.transient


async def test_a_list_goes_on_where_it_stopped(bus: Bus) -> None:
    user, blobs = name("u"), Blobs(bus)
    stored = [(await blobs.put(user, os.urandom(n))).sha256 for n in range(1, 6)]
    first = await blobs.usage.page(user, 0, 3)
    rest = await blobs.usage.page(user, first[-1].seq, 3)
    assert [blob.sha256 for blob in (*first, *rest)] == stored
    assert [blob.size for blob in (*first, *rest)] == [1, 2, 3, 4, 5]


STEPS = st.lists(st.tuples(st.sampled_from("pqd"), st.integers(0, 3)), max_size=12)


@given(STEPS)
@settings(max_examples=15, deadline=None)
def test_counts_are_those_of_a_process_that_starts_now(
    nats_server: NatsServer, steps: Sequence[tuple[str, int]]
) -> None:
    asyncio.run(_counted(nats_server, steps))


async def _counted(nats_server: NatsServer, steps: Sequence[tuple[str, int]]) -> None:
    """Put and delete in turn by two processes; a third counts from the beginning."""
    user = name("u")
    async with nats_server.connected("executor") as bus, nats_server.connected("results") as other:
        one, two = Blobs(bus, now=lambda: 2e9), Blobs(other, now=lambda: 2e9)
        held: dict[str, int] = {}
        for step, n in steps:
            data = b"%d" % n * (n + 1)
            if step == "d":
                uri = (await one.put(user, data)).uri
                held.pop(uri, None)
                await two.delete(uri)
            else:
                blobs = one if step == "p" else two
                held[(await blobs.put(user, data)).uri] = len(data)
        for blobs in (one, two, Blobs(bus)):
            assert await blobs.usage.of(user) == (sum(held.values()), len(held))


async def fill(blobs: Blobs, stored: list[Pointer]) -> None:
    while True:
        stored.append(await blobs.put("u", os.urandom(2 * MB)))


async def test_the_store_leaves_room_for_the_log(tmp_path: Path) -> None:
    async with (
        NatsServer(tmp_path / "data", most=40 * MB) as server,
        server.connected("executor") as bus,
    ):
        blobs, stored = Blobs(bus), list[Pointer]()
        with pytest.raises(StoreFull, match="the object store is full"):
            await fill(blobs, stored)
        async with server.connected("gateway") as gateway:
            found = await room(gateway)
        assert found.limit == 40 * MB
        assert found.used <= 20 * MB
        assert await blobs.delete(stored[0].uri), "a full store takes deletions"
        await blobs.put("u", os.urandom(MB))


async def test_a_disk_that_became_smaller_keeps_nobody_from_starting(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with NatsServer(data, most=2000 * MB):
        pass
    async with NatsServer(data, most=30 * MB) as server, server.connected("operator") as bus:
        await jetstream.provision(bus)
        await store.provision(bus)
        limit = (await room(bus)).limit or 0
        assert limit > 30 * MB, "what streams have set aside counts"
        async with server.connected("executor") as executor:
            await Blobs(executor).put("u", os.urandom(MB))
