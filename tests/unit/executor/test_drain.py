"""A drain says of each attempt that it cuts whether its host was called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.facts import FailureKind, JobFailed
from contracts.result import Pointer
from services.executor.attempt.call import Answer, Call
from services.keys.permits import SigningKey
from tests.unit.executor.test_store_away import Store, pointing
from tests.unit.executor.world import fresh_key, world


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return fresh_key(tmp_path_factory.mktemp("data"))


async def test_a_drain_while_the_host_still_starts_calls_nobody(
    tmp_path: Path, key: SigningKey
) -> None:
    async def starting(_: Call) -> Answer:
        await asyncio.Event().wait()
        return Answer([])

    async with world(tmp_path, key, script=starting) as one:
        await one.task()
        async with asyncio.timeout(30):
            await one.pool.called.wait()
        await one.executor.drain()
        cut = (await one.fact(JobFailed)).fact
        assert isinstance(cut, JobFailed)
        assert (cut.kind, cut.called, cut.retryable) == (FailureKind.CUT, False, True)


async def test_a_drain_between_two_steps_does_not_forget_the_first(
    tmp_path: Path, key: SigningKey
) -> None:
    async def second(call: Call) -> Answer:
        await call.begin()
        call.called = True
        await asyncio.Event().wait()
        return Answer([])

    async with world(tmp_path, key, script=second) as one:
        await one.task()
        async with asyncio.timeout(30):
            await one.pool.called.wait()
        await one.executor.drain()
        cut = (await one.fact(JobFailed)).fact
        assert isinstance(cut, JobFailed)
        assert (cut.kind, cut.called, cut.retryable) == (FailureKind.CUT, True, False)


async def test_a_drain_while_an_input_is_read_calls_nobody(tmp_path: Path, key: SigningKey) -> None:
    reading = asyncio.Event()

    class Slow(Store):
        async def get(self, what: Pointer | str) -> AsyncIterator[bytes]:
            reading.set()
            await asyncio.Event().wait()
            yield b""

    async with world(tmp_path, key, blobs=Slow()) as one:
        await one.task(spec_=pointing())
        async with asyncio.timeout(30):
            await reading.wait()
        await one.executor.drain()
        cut = (await one.fact(JobFailed)).fact
        assert isinstance(cut, JobFailed)
        assert (cut.kind, cut.called, cut.retryable) == (FailureKind.CUT, False, True)
