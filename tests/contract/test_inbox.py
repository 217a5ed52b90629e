"""A work queue whose readers die, are slow, or go away: what they were given goes to another."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from contracts import subjects
from contracts.subjects import EXECUTOR_DURABLE, STREAM
from services.bus.bus import Bus
from services.log.inbox import NatsInbox
from services.log.jetstream import NatsLog, provision
from services.log.port import Delivery
from tests.support import facts
from tests.support.nats import NatsServer
from tests.support.system import until

SOON_S = 5.0
"""What was given to a reader that is gone comes to another within this time."""


class Readers:
    """A router that hands out work, and two executors that share it."""

    def __init__(self, router: NatsLog, buses: list[Bus], logs: list[NatsLog]) -> None:
        self.router = router
        self.buses = buses
        self.inboxes = [log.inbox(STREAM, EXECUTOR_DURABLE) for log in logs]

    async def route(self, *tasks: str) -> None:
        for task in tasks:
            await self.router.append(facts.routed("alice", task))


@pytest.fixture
async def readers(fresh_nats: NatsServer) -> AsyncIterator[Readers]:
    async with contextlib.AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(fresh_nats.connected("executor")) for _ in "ab"]
        router = await stack.enter_async_context(fresh_nats.connected("router"))
        logs = [await stack.enter_async_context(await NatsLog.open(bus)) for bus in buses]
        yield Readers(await stack.enter_async_context(await NatsLog.open(router)), buses, logs)


async def take(inbox: NatsInbox, count: int) -> list[Delivery]:
    """Wait for so many messages."""
    got: list[Delivery] = []
    while len(got) < count:
        got += await inbox.receive()
    return got


def tasks(deliveries: list[Delivery]) -> set[str]:
    return {delivery.subject.split(".")[3] for delivery in deliveries}


async def test_what_a_killed_reader_was_given_comes_to_another_within_five_seconds(
    readers: Readers,
) -> None:
    first, second = readers.inboxes
    first.want(3)
    await readers.route("t1", "t2", "t3")
    await take(first, 3)
    await readers.buses[0].close()
    second.want(3)
    async with asyncio.timeout(SOON_S):
        again = await take(second, 3)
    assert tasks(again) == {"t1", "t2", "t3"}
    assert all(delivery.redelivered for delivery in again)


@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "on the way"])
async def test_a_reader_that_closes_gives_back_at_once_what_it_has_not_looked_at(
    readers: Readers, arrived: bool
) -> None:
    first, second = readers.inboxes
    first.want(9)
    await readers.route("t0")
    (seen,) = await take(first, 1)
    await readers.route("t1", "t2", "t3")
    while arrived and len(first._got) < 3:
        first._news.clear()
        await first._news.wait()
    await first.close()
    second.want(9)
    began = time.monotonic()
    async with asyncio.timeout(SOON_S):
        again = await take(second, 3)
    assert tasks(again) == {"t1", "t2", "t3"}
    assert time.monotonic() - began < 2, "before the server notices by itself"
    await seen.ack()


async def test_many_are_acknowledged_at_once(readers: Readers, fresh_nats: NatsServer) -> None:
    inbox = readers.inboxes[0]
    inbox.want(3)
    await readers.route("t1", "t2", "t3")
    taken = await take(inbox, 3)
    async with fresh_nats.connected("operator") as bus:
        assert (await consumer(bus))["num_ack_pending"] == 3
        await inbox.ack_all(taken)

        async def none_is_left() -> bool:
            return bool((await consumer(bus))["num_ack_pending"] == 0)

        await until(none_is_left)


async def test_what_a_slow_reader_holds_is_not_taken_from_it(readers: Readers) -> None:
    first, second = readers.inboxes
    first.want(1)
    await readers.route("t1")
    (held,) = await take(first, 1)
    second.want(1)
    taking = asyncio.create_task(take(second, 1))
    for _ in range(5):
        await held.hold()
        await asyncio.wait([taking], timeout=1)
    assert not taking.done()
    async with asyncio.timeout(SOON_S):
        assert tasks(await taking) == {"t1"}


async def test_provisioning_shortens_the_wait_of_an_older_deployment(
    fresh_nats: NatsServer,
) -> None:
    async with fresh_nats.connected("operator") as bus:
        fresh = await ack_wait_s(bus)
        older = {
            "durable_name": EXECUTOR_DURABLE,
            "filter_subject": subjects.ROUTES,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "max_ack_pending": 8192,
            "max_deliver": -1,
            "ack_wait": 30_000_000_000,
        }
        body = msgspec.json.encode({"stream_name": STREAM, "config": older})
        create = f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.{EXECUTOR_DURABLE}"
        assert "error" not in msgspec.json.decode(await bus.request(create, body))
        assert await ack_wait_s(bus) == 30
        await provision(bus)
        assert await ack_wait_s(bus) == fresh < SOON_S


async def consumer(bus: Bus) -> dict[str, Any]:
    answer = await bus.request(f"$JS.API.CONSUMER.INFO.{STREAM}.{EXECUTOR_DURABLE}", b"")
    found: dict[str, Any] = msgspec.json.decode(answer)
    return found


async def ack_wait_s(bus: Bus) -> float:
    return float((await consumer(bus))["config"]["ack_wait"] / 1e9)
