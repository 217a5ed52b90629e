"""Frames that lie in a connection's queue together are worked through together, and bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.result import Pointer
from services.bus.bus import Bus
from services.gateway.stream.connection import IN_FLIGHT
from services.log.memory import MemoryLog
from services.log.port import AlreadyRecorded, Append
from services.store.blobs import Blobs
from tests.unit.gateway.stream.test_fuzz_bytes import packed
from tests.unit.gateway.world import World, world


class Held(MemoryLog):
    """A log that notes how many facts come together, and keeps them waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[int] = []
        self.arrived = asyncio.Condition()
        self.open = asyncio.Event()

    async def append_all(self, items: Sequence[Append]) -> list[int | AlreadyRecorded]:
        """See `Log.append_all`."""
        async with self.arrived:
            self.together.append(len(items))
            self.arrived.notify_all()
        await self.open.wait()
        return await super().append_all(items)

    async def has(self, count: int) -> None:
        """Wait until so many facts have been handed in."""
        async with asyncio.timeout(30), self.arrived:
            await self.arrived.wait_for(lambda: sum(self.together) >= count)


@pytest.fixture
async def held(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with world(tmp_path, bus, log=Held()) as one:
        yield one


def submit(ref: int, **fields: Any) -> dict[str, Any]:
    return {"op": "submit", "ref": ref, "task": {"type": "t.x", "id": f"t{ref}"} | fields}


def arrive(gateway: World, *messages: object) -> None:
    """Let these come in one packet over the only connection."""
    (server,) = (one.socket for one in gateway.site.streams.connections)
    texts = (one if isinstance(one, str) else json.dumps(one) for one in messages)
    server.data_received(b"".join(packed(1, text.encode()) for text in texts))


async def test_what_came_together_is_stored_together(held: World) -> None:
    log: Any = held.log
    async with held.stream() as one:
        await one.receive()
        arrive(held, *(submit(n) for n in range(20)))
        await log.has(20)
        log.open.set()
        answers = [await one.receive() for _ in range(20)]
    assert log.together == [20]
    assert [(a["op"], a["ref"], a["task"], a["seq"]) for a in answers] == [
        ("ack", n, f"t{n}", n + 1) for n in range(20)
    ]


async def test_other_frames_between_them_are_answered_too(held: World) -> None:
    log: Any = held.log
    log.open.set()
    async with held.stream() as one:
        await one.receive()
        wrong = submit(3, input=[1])
        subscribe = {"op": "subscribe", "ref": 4, "sub": "s"}
        arrive(held, submit(1), "{", submit(2), wrong, subscribe, submit(5), submit(1))
        frames = [await one.receive() for _ in range(8)]
    answers = {f.get("ref"): f.get("code", f["op"]) for f in frames if f["op"] != "caught_up"}
    bad = "bad_request"
    assert answers == {1: "ack", None: bad, 2: "ack", 3: bad, 4: "ack", 5: "ack"}
    assert log.together == [2, 2]


async def test_no_more_than_the_bound_are_under_way(held: World) -> None:
    log: Any = held.log
    async with held.stream() as one:
        await one.receive()
        arrive(held, *(submit(n) for n in range(2 * IN_FLIGHT)))
        await log.has(IN_FLIGHT)
        async with held.stream("bob-token") as two:
            await two.receive()
            assert (await two.ask("subscribe", sub="s"))["op"] == "ack", "others go on"
        assert log.together == [IN_FLIGHT]
        log.open.set()
        answers = [await one.receive() for _ in range(2 * IN_FLIGHT)]
    assert {a["ref"] for a in answers if a["op"] == "ack"} == set(range(2 * IN_FLIGHT))


async def test_a_large_input_holds_nothing_up(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()
    put = Blobs.put

    async def slow(self: Blobs, *args: Any) -> Pointer:
        await go_on.wait()
        return await put(self, *args)

    monkeypatch.setattr(Blobs, "put", slow)
    async with gateway.stream() as one:
        await one.receive()
        arrive(gateway, submit(1), submit(2, input={"a": "x" * 100_000}), submit(3))
        assert {(await one.receive())["ref"] for _ in range(2)} == {1, 3}
        go_on.set()
        assert (await one.receive())["ref"] == 2


async def test_what_came_before_the_end_is_stored_and_nothing_after_it(gateway: World) -> None:
    async with gateway.stream() as one:
        await one.receive()
        arrive(gateway, submit(1), *["{"] * 10, submit(2))
        assert await one.closed() == 4400
    async with asyncio.timeout(30):
        while not gateway.site.feed.position:
            await gateway.site.feed.moved()
    created = await gateway.log.read(["task.created.>"])
    assert [record.subject for record in created] == ["task.created.alice.t1"]


async def test_submissions_of_a_client_that_has_gone_are_stored(held: World) -> None:
    log: Any = held.log
    async with held.stream() as one:
        await one.receive()
        arrive(held, submit(1), submit(2))
        await log.has(2)
        one.socket.transport.abort()
    log.open.set()
    async with asyncio.timeout(30):
        while held.site.feed.position < 2:
            await held.site.feed.moved()
