"""A question to everybody, on a real server: who answers, who refuses, and when that is all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from contracts.errors import Reason, Rejected
from contracts.subjects import command
from contracts.wire import HostLog, HostLogRequest
from services.bus.all import answer_all, ask_all
from services.bus.bus import Bus, BusTimeout, NoResponders, PermissionDenied
from services.executor.hosts.host_log import HostLogServer
from tests.support.facts import name
from tests.support.nats import NatsServer

Say = Callable[[bytes], Awaitable[bytes]]


def says(text: bytes) -> Say:
    async def say(payload: bytes) -> bytes:
        return text + payload

    return say


async def refuses(payload: bytes) -> bytes:
    raise Rejected(Reason.NOT_FOUND, "not here")


@contextlib.asynccontextmanager
async def executors(server: NatsServer, count: int) -> AsyncIterator[list[Bus]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(server.connected("executor")) for _ in range(count)]


@pytest.fixture
async def gateway(nats_server: NatsServer) -> AsyncIterator[Bus]:
    async with nats_server.connected("gateway") as bus:
        yield bus


@pytest.fixture
def subject() -> str:
    """A subject of this test alone."""
    return command("executor", name())


async def test_everybody_answers_and_a_refusal_spoils_nothing(
    nats_server: NatsServer, gateway: Bus, subject: str
) -> None:
    async with executors(nats_server, 3) as (one, two, three):
        await answer_all(one, subject, says(b"1 "))
        await answer_all(two, subject, refuses)
        await answer_all(three, subject, says(b"3 "))
        for payload in (b"a", b"b"):
            answers = await ask_all(gateway, subject, payload)
            assert sorted(answers) == [b"1 " + payload, b"3 " + payload]


async def test_nothing_but_refusals_is_one(
    nats_server: NatsServer, gateway: Bus, subject: str
) -> None:
    async with executors(nats_server, 2) as buses:
        for bus in buses:
            await answer_all(bus, subject, refuses)
        with pytest.raises(Rejected, match="not here"):
            await ask_all(gateway, subject)


async def test_nobody_there_is_said_at_once(gateway: Bus, subject: str) -> None:
    async with asyncio.timeout(2):
        with pytest.raises(NoResponders):
            await ask_all(gateway, subject)


async def test_somebody_who_never_answers_is_waited_for_for_a_limited_time(
    nats_server: NatsServer, gateway: Bus, subject: str
) -> None:
    async def hangs(payload: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with executors(nats_server, 2) as (mute, other):
        await answer_all(mute, subject, hangs)
        with pytest.raises(BusTimeout):
            await ask_all(gateway, subject)
        await answer_all(other, subject, says(b"here"))
        assert await ask_all(gateway, subject) == [b"here"]


async def test_whoever_asks_says_how_long_that_may_take(
    fresh_nats: NatsServer, subject: str
) -> None:
    async def hangs(payload: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with fresh_nats.connected("gateway") as gateway, executors(fresh_nats, 1) as (mute,):
        await answer_all(mute, subject, hangs)
        before = len(gateway.nc._subs)
        async with asyncio.timeout(2):
            with pytest.raises(BusTimeout):
                await ask_all(gateway, subject, within_s=0.1)
        fresh_nats.pause()
        try:
            async with asyncio.timeout(2):
                with pytest.raises(BusTimeout):
                    await ask_all(gateway, subject, within_s=0.1)
        finally:
            fresh_nats.resume()
        assert len(gateway.nc._subs) == before


async def test_answers_are_bounded(nats_server: NatsServer, gateway: Bus, subject: str) -> None:
    async with executors(nats_server, 3) as buses:
        for bus in buses:
            await answer_all(bus, subject, says(b"x"))
        assert await ask_all(gateway, subject, most=2) == [b"x"] * 2


async def test_nothing_of_a_question_stays_behind(
    nats_server: NatsServer, gateway: Bus, subject: str
) -> None:
    async with executors(nats_server, 1) as (bus,):
        await answer_all(bus, subject, says(b"x"))
        before = len(gateway.nc._subs)
        for _ in range(3):
            await ask_all(gateway, subject)
        with pytest.raises(NoResponders):
            await ask_all(gateway, f"{subject}x")
        assert len(gateway.nc._subs) == before


async def test_only_executors_may_answer_for_executors(
    nats_server: NatsServer, subject: str
) -> None:
    async with nats_server.connected("results") as bus:
        with pytest.raises(PermissionDenied):
            await answer_all(bus, subject, says(b"x"))


async def test_the_logs_of_all_executors_that_have_one_are_found(
    nats_server: NatsServer, gateway: Bus, subject: str, tmp_path: Path
) -> None:
    async with executors(nats_server, 3) as buses:
        for n, bus in enumerate(buses):
            folder = tmp_path / str(n)
            if n:
                folder.mkdir()
                (folder / "h1.log").write_text(f"line of {n}\n")
            await answer_all(bus, subject, HostLogServer(folder, f"executor-{n}").answer)
        request = msgspec.json.encode(HostLogRequest("h1", 10))
        answers = await ask_all(gateway, subject, request)
    found = [msgspec.json.decode(answer, type=HostLog) for answer in answers]
    logs = sorted(found, key=lambda log: log.instance)
    assert [(log.instance, log.lines) for log in logs] == [
        ("executor-0", ()),
        ("executor-1", ("line of 1",)),
        ("executor-2", ("line of 2",)),
    ]
