"""Copies of views on a real server: the newest that is whole, or none."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from contracts.subjects import VIEWS_BUCKET
from services.bus.bus import Bus
from services.store.copies import MOST_COPY, PART, SLOTS, ViewCopies
from services.store.stream import StoreError, Stream
from tests.support.nats import NatsServer

BIG = os.urandom(2 * PART + 7)
SMALL = b"small"


@pytest.fixture
async def router(fresh_nats: NatsServer) -> AsyncIterator[Bus]:
    async with fresh_nats.connected("router") as bus:
        yield bus


async def test_the_newest_copy_of_a_version_is_found(router: Bus) -> None:
    copies = ViewCopies(router, "router")
    assert await copies.get(4) is None
    await copies.put(4, BIG)
    assert await copies.get(4) == BIG
    assert await copies.get(5) is None, "the tables of another release"
    for data in (SMALL, BIG, BIG[::-1], SMALL):
        await copies.put(4, data)
        assert await copies.get(4) == data
    held = (await Stream(router, f"KV_{VIEWS_BUCKET}").info()).state.messages
    assert held <= SLOTS * 3 + 1, "there are two at most"
    with pytest.raises(StoreError, match="at most"):
        await copies.put(4, bytes(MOST_COPY + 1))
    assert await copies.get(4) == SMALL


async def test_a_copy_that_was_begun_takes_nothing_of_the_last_one(
    router: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = ViewCopies(router, "router")
    await copies.put(4, BIG)
    publish, left = Stream.publish, 2

    async def crashing(self: Stream, subject: str, data: bytes) -> int | None:
        nonlocal left
        if not left:
            raise StoreError("killed")
        left -= 1
        return await publish(self, subject, data)

    monkeypatch.setattr(Stream, "publish", crashing)
    with pytest.raises(StoreError, match="killed"):
        await copies.put(4, BIG[::-1])
    assert await copies.get(4) == BIG


@pytest.mark.parametrize("key", ["router.0-1", "router.head"])
async def test_a_damaged_copy_is_none(router: Bus, key: str) -> None:
    copies = ViewCopies(router, "router")
    await copies.put(4, BIG)
    await Stream(router, f"KV_{VIEWS_BUCKET}").publish(f"$KV.{VIEWS_BUCKET}.{key}", b"{}")
    assert await copies.get(4) is None
    await copies.put(4, BIG)
    assert await copies.get(4) == BIG
