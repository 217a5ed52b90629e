"""Reads on a real cluster of three: a replica that lags, and leaders that die, hide nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from contracts import subjects
from services.log.jetstream import NatsLog
from services.log.port import Checkpoint, LogUnavailable
from services.store.blobs import Blobs, StoreError
from services.store.kv import Bucket
from tests.support import facts
from tests.support.cluster import SERVERS, Cluster, cluster
from tests.support.system import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]
T = TypeVar("T")
APPENDS = 600
"""Of a hundred, two or three are not at once where they are read."""
ROUNDS = 100
KILLS = 2


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while there is no leader: nobody is told that nothing is there."""
    found: list[T] = []

    async def answered() -> bool:
        with contextlib.suppress(LogUnavailable, StoreError):
            found.append(await ask())
        return bool(found)

    await until(answered)
    return found[0]


@contextlib.asynccontextmanager
async def opened(one: Cluster, role: str, *numbers: int) -> AsyncIterator[NatsLog]:
    async with one.connected(role, *numbers) as bus, await NatsLog.open(bus) as log:
        yield log


async def test_what_was_acknowledged_is_found_on_every_server(tmp_path: Path) -> None:
    async with cluster(tmp_path) as one, contextlib.AsyncExitStack() as stack:
        operator = await stack.enter_async_context(one.connected("operator"))
        leader = await one.leader(operator)
        writer = await stack.enter_async_context(opened(one, "gateway", leader))
        others = [number for number in range(SERVERS) if number != leader]
        readers = [await stack.enter_async_context(opened(one, "executor", n)) for n in others]

        async def look(log: NatsLog, subject: str, seq: int) -> None:
            (record,) = await log.read_last([subject], reach=seq)
            assert record.seq == seq
            assert await log.at(seq) == await log.last(subject) == record

        for _ in range(APPENDS):
            fact = facts.created("u")
            seq = await writer.append(fact)
            await asyncio.gather(*(look(log, subjects.of(fact), seq) for log in readers))
        for log in readers:
            scan = log.scan(("task.created.>",), 0, APPENDS)
            scanned = [record.seq async for batch in scan for record in batch.records]
            assert scanned == list(range(1, APPENDS + 1))


async def test_blobs_and_values_are_found_on_every_server(tmp_path: Path) -> None:
    async with (
        cluster(tmp_path) as one,
        one.connected("gateway", 0) as first,
        one.connected("gateway", 1) as second,
    ):
        for number in range(ROUNDS):
            key, value = f"k{number}", str(number).encode()
            revision = await Bucket(first, subjects.TOKENS_BUCKET).put(key, value)
            found = await Bucket(second, subjects.TOKENS_BUCKET).get(key)
            assert found == (value, revision)
        pointer = await Blobs(first).put("u", b"x" * 2_000_000)
        assert len(await Blobs(second).read(pointer)) == 2_000_000


async def test_leaders_that_die_hide_nothing(tmp_path: Path) -> None:
    async with (
        cluster(tmp_path) as one,
        opened(one, "gateway") as writer,
        opened(one, "executor") as reader,
        one.connected("operator") as operator,
    ):
        followed: list[int] = []

        async def follow() -> None:
            start = Checkpoint(reader.epoch, 0, "")
            async with contextlib.aclosing(reader.follow((">",), start)) as batches:
                async for batch in batches:
                    followed.extend(record.seq for record in batch.records)

        following = asyncio.create_task(follow())
        for number in range(ROUNDS):
            fact = facts.created("u")
            seq = await patiently(lambda fact=fact: writer.append(fact))  # type: ignore[misc]
            ask = lambda fact=fact, seq=seq: reader.read_last([subjects.of(fact)], reach=seq)  # noqa: E731
            assert [record.seq for record in await patiently(ask)] == [seq]
            if number % (ROUNDS // KILLS) == ROUNDS // KILLS // 2:
                leader = await one.leader(operator)
                one.kill(leader)
                one.start(leader)

        async def all_came() -> bool:
            return len(followed) >= ROUNDS

        await until(all_came)
        following.cancel()
        await asyncio.wait([following])
        assert followed == list(range(1, ROUNDS + 1)), "once, in order, without a gap"
