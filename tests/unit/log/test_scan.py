"""History is read once, filter by filter, and put together in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import AnyFact, encode
from contracts.subjects import matches, of
from services.bus.bus import Bus
from services.bus.client import Message
from services.log import wire
from services.log.port import LogUnavailable
from services.log.read import Reader
from services.log.wire import Wire
from tests.support import facts

FILTERS = ("task.created.>", "job.>", "job.done.>", "task.*.u1.>", ">")
BATCH = 4


class DirectGet(msgspec.Struct):
    next_by_subj: str
    seq: int
    batch: int
    max_bytes: int


class ListServer:
    """A server that answers batched reads out of a list; it counts what it has sent."""

    def __init__(self, made: Sequence[AnyFact]) -> None:
        self.bus = self
        self.api = "$JS.API"
        self.sent: list[int] = []
        self.asked = 0
        self.again = asyncio.Event()
        self.fails = False
        self._facts = made

    async def collect(self, _: str, payload: bytes, last: object) -> list[Message]:
        if self.fails:
            raise LogUnavailable("away")
        self.asked += 1
        if self.asked == 2:
            self.again.set()
        asked = msgspec.json.decode(payload, type=DirectGet)
        found = [
            (seq, fact)
            for seq, fact in enumerate(self._facts, 1)
            if seq >= asked.seq and matches(asked.next_by_subj, of(fact))
        ]
        chosen = found[: min(asked.batch, BATCH)]
        self.sent += [seq for seq, _ in chosen]
        if not found:
            return [Message("", "", b"", b"NATS/1.0 404 Message Not Found\r\n\r\n")]
        left = len(found) - len(chosen)
        end = f"NATS/1.0 204 EOB\r\nNats-Num-Pending: {left}\r\n\r\n"
        return [*(message(seq, fact) for seq, fact in chosen), Message("", "", b"", end.encode())]


def message(seq: int, fact: AnyFact) -> Message:
    head = (
        f"NATS/1.0\r\nNats-Stream: METAMCP\r\nNats-Subject: {of(fact)}\r\nNats-Sequence: {seq}\r\n"
        "Nats-Time-Stamp: 2026-01-01T00:00:00.5Z\r\n\r\n"
    )
    return Message("", "", encode(fact), head.encode())


def made(kinds: Sequence[str]) -> list[AnyFact]:
    make = {
        "created": lambda i: facts.created(f"u{i % 2}", f"t{i}"),
        "done": lambda i: facts.done(f"u{i % 2}", f"t{i}"),
        "failed": lambda i: facts.failed(f"u{i % 2}", f"t{i}"),
    }
    return [make[kind](i) for i, kind in enumerate(kinds)]


def reader(server: ListServer) -> Reader:
    return Reader(cast("Wire", server))


@given(
    st.lists(st.sampled_from(["created", "done", "failed"]), max_size=40),
    st.sets(st.sampled_from(FILTERS), min_size=1),
    st.integers(0, 20),
    st.integers(0, 45),
    st.booleans(),
)
def test_a_scan_gives_each_fact_once_in_order(
    kinds: list[str], filters: set[str], after: int, until: int, ahead: bool
) -> None:
    listed, server = made(kinds), ListServer(made(kinds))
    until = min(until, len(listed))

    async def scanned() -> list[int]:
        found: list[int] = []
        through = after
        async for batch in reader(server).scan(tuple(filters), after, until, ahead=ahead):
            assert all(through < record.seq <= batch.through for record in batch.records)
            found += [record.seq for record in batch.records]
            through = batch.through
            assert batch.live == (through >= until)
        assert through >= until
        return found

    wanted = [
        seq
        for seq, fact in enumerate(listed, 1)
        if after < seq <= until and any(matches(filter_, of(fact)) for filter_ in filters)
    ]
    assert asyncio.run(scanned()) == wanted
    for seq in set(server.sent):
        matching = sum(matches(filter_, of(listed[seq - 1])) for filter_ in filters)
        assert server.sent.count(seq) <= matching, "what was read is not read again"


async def test_a_follower_has_the_next_facts_read_while_it_works() -> None:
    server = ListServer(made(["created"] * 12))
    batches = reader(server).scan((">",), 0, 12, ahead=True)
    assert len((await anext(batches)).records) == BATCH
    await server.again.wait()
    await batches.aclose()


async def test_for_who_has_not_asked_for_it_nothing_is_read_ahead() -> None:
    batches = reader(ListServer(made(["created"] * 12))).scan((">",), 0, 12)
    await anext(batches)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await batches.aclose()


async def test_what_could_not_be_read_ahead_is_said_when_it_is_needed() -> None:
    server = ListServer(made(["created"] * 12))
    batches = reader(server).scan((">",), 0, 12, ahead=True)
    await anext(batches)
    server.fails = True
    with pytest.raises(LogUnavailable):
        await anext(batches)


async def test_answers_that_keep_coming_have_the_time_they_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[asyncio.Timeout] = []
    timeout = asyncio.timeout

    def limited(seconds: float) -> asyncio.Timeout:
        limits.append(timeout(seconds))
        return limits[-1]

    monkeypatch.setattr(wire.asyncio, "timeout", limited)
    bus = SlowBus()
    slow = Wire(cast("Bus", bus))
    asking = asyncio.create_task(slow.collect("x", b"", last=lambda one: not one.data))
    reply = await bus.asked
    handle = slow._open[reply.removeprefix(slow._prefix)]
    first = limits[0].when()
    for number in range(wire.GIVES_TIME):
        assert limits[0].when() == first, number
        handle(Message("", "", b"1", b""))
    assert limits[0].when() != first
    handle(Message("", "", b"", b""))
    assert len(await asking) == wire.GIVES_TIME + 1


class SlowBus:
    """Takes one request."""

    connected = True
    publish_errors = ()

    def __init__(self) -> None:
        self.nc = self
        self.asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def publish(self, _: str, __: bytes, reply: str) -> None:
        self.asked.set_result(reply)
