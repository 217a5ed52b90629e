"""What gateways know of people, on a real nats-server: by revision, for all, with an end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from contracts.subjects import ACCOUNTS_BUCKET
from services.bus.bus import Bus
from services.bus.errors import PermissionDenied
from services.gateway.people.records import SignIn, User
from services.gateway.people.state import Gone, PeopleState, PeopleTable
from services.store import kv
from services.store.kv import MOST_VALUE, Bucket, KvChange
from tests.support.facts import name
from tests.support.nats import NatsServer


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with nats_server.connected("gateway") as one:
        yield one


def gateway(bus: Bus) -> tuple[PeopleState, PeopleTable[User]]:
    state = PeopleState(Bucket(bus, ACCOUNTS_BUCKET))
    return state, state.table("user", User)


async def test_of_two_who_change_the_same_one_is_told(bus: Bus) -> None:
    (one, mine), (_two, theirs) = gateway(bus), gateway(bus)
    alice = User(name=name("alice"))
    made = await mine.put(alice.name, alice, 0)
    assert made is not None
    assert await theirs.put(alice.name, alice, 0) is None
    await one.refresh()
    seen = theirs.get(alice.name)
    assert seen == made
    changed = msgspec.structs.replace(alice, email="a@example.com")
    assert await mine.put(alice.name, changed, made.revision) is not None
    assert await theirs.put(alice.name, alice, made.revision) is None
    found = theirs.get(alice.name)
    assert found is not None
    assert found.value == changed


async def test_what_was_taken_away_is_gone_everywhere_and_may_be_made_anew(bus: Bus) -> None:
    (_one, mine), (two, theirs) = gateway(bus), gateway(bus)
    bob = User(name=name("bob"))
    told: list[Gone[User]] = []
    theirs.on_change.append(told.append)
    assert await mine.put(bob.name, bob, 0)
    await two.refresh()
    assert await mine.delete(bob.name)
    assert not await mine.delete(bob.name)
    await two.refresh()
    assert (mine.get(bob.name), theirs.get(bob.name)) == (None, None)
    of_bob = [(gone.before, gone.after) for gone in told if gone.key == bob.name]
    assert of_bob == [(None, bob), (bob, None)]
    assert await theirs.put(bob.name, bob, 0)
    # A gateway that starts later reads all of it.
    three, others = gateway(bus)
    await three.refresh()
    assert others.get(bob.name) is not None


async def test_what_was_taken_away_does_not_come_back_from_what_was_being_read(bus: Bus) -> None:
    (_, mine), (two, theirs) = gateway(bus), gateway(bus)
    await two.refresh()
    eve = User(name=name("eve"))
    assert await mine.put(eve.name, eve, 0)
    read, go_on = asyncio.Event(), asyncio.Event()
    changes = two.bucket.changes

    async def held_up(after: int) -> list[KvChange]:
        page = await changes(after)
        read.set()
        await go_on.wait()
        return page

    two.bucket.changes = held_up  # type: ignore[method-assign]
    reading = asyncio.create_task(two.refresh())
    await read.wait()
    deleting = asyncio.create_task(theirs.delete(eve.name))
    back: list[bool] = []
    theirs.on_change.append(lambda told: back.append(deleting.done() and told.after is not None))
    async with asyncio.timeout(30):
        while await two.bucket.get(f"user.{eve.name}"):
            pass
        go_on.set()
        await asyncio.gather(reading, deleting)
    assert theirs.get(eve.name) is None
    assert not any(back), "somebody who was told that it is gone could see it again"


async def test_all_is_read_however_big_its_values_are(bus: Bus) -> None:
    bucket, (state, table) = Bucket(bus, ACCOUNTS_BUCKET), gateway(bus)
    big = "x" * (MOST_VALUE - 1000)
    users = [User(name=name("big"), display=big) for _ in range(140)]
    for user in users:
        await bucket.put(f"user.{user.name}", msgspec.json.encode(user))
    first = await bucket.changes(0)
    assert sum(len(one.value or b"") for one in first) <= kv.PAGE_BYTES + MOST_VALUE
    await state.refresh()
    assert all((held := table.get(user.name)) and held.value == user for user in users)
    assert len(await bucket.all()) >= len(users)


async def test_what_has_an_end_is_gone_then(bus: Bus) -> None:
    state = PeopleState(Bucket(bus, ACCOUNTS_BUCKET))
    table = state.table("session", SignIn)
    now = time.time()
    brief = SignIn(user="alice", epoch=0, method="password", created=now, expires=now + 0.2)
    key = name("s")
    assert await table.put(key, brief, 0)
    assert table.get(key)
    never = asyncio.Event()
    async with asyncio.timeout(30):
        while table.get(key):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.02)
    later = PeopleState(Bucket(bus, ACCOUNTS_BUCKET))
    again = later.table("session", SignIn)
    await later.refresh()
    assert again.get(key) is None
    table.forget_expired()
    assert key not in table.held


async def test_gateways_alone_may_touch_it(nats_server: NatsServer) -> None:
    for role in ("executor", "results", "registry", "router", "auditor"):
        async with nats_server.connected(role) as other:
            with pytest.raises(PermissionDenied):
                await other.request(f"$KV.{ACCOUNTS_BUCKET}.user.eve", b"{}")
