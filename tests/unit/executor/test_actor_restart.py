"""The executor when the log does not answer, and when it starts again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import (
    AnyFact,
    FailureKind,
    JobDone,
    JobFailed,
    JobSigned,
    McpRemoved,
    Outcome,
    encode,
)
from contracts.host import Limits, Step, TaskBinding, Tool
from contracts.subjects import Guard
from services.keys.permits import SigningKey
from services.log.memory import MemoryDelivery, MemoryLog
from services.log.port import AlreadyRecorded, Append, LogUnavailable
from services.process.ids import new_id
from tests.unit.executor.world import World, fresh_key, host, routed, spec, world


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return fresh_key(tmp_path_factory.mktemp("data"))


class Forgetful(MemoryLog):
    """A log that stores what it is given and then, every other time, does not say so."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[str] = []

    async def append_all(self, items: Sequence[Append]) -> list[int | AlreadyRecorded]:
        stored = await super().append_all(items)
        self._answer("claim")
        return stored

    async def append(self, fact: AnyFact, guard: Guard | None = None, trace: str = "") -> int:
        seq = await super().append(fact, guard, trace)
        if isinstance(fact, JobDone):
            self._answer("end")
        return seq

    def _answer(self, what: str) -> None:
        self.answers.append(what)
        if len(self.answers) % 2:
            raise LogUnavailable("no answer")


async def test_an_append_without_an_answer_is_repeated_and_stored_once(
    tmp_path: Path, key: SigningKey
) -> None:
    log = Forgetful()
    async with world(tmp_path, key, log=log) as one:
        await one.task()
        await one.fact(JobDone)
        await one.idle()
        assert one.facts() == ["created", "routed", "signed", "done"]
        assert len(one.pool.calls) == 1
        assert log.answers == ["claim", "claim", "end", "end"]


async def test_hosts_are_known_again_after_a_restart(tmp_path: Path, key: SigningKey) -> None:
    binding = TaskBinding(steps=(Step("noop"),))
    richer = host(task_types={"x": binding}, tools=(Tool("noop"),), limits=Limits(start_s=3))
    async with world(tmp_path, key, hosts=(richer, host("h2"))) as one:
        assert await one.hosts.reached(2, 5)
        await one.log.append(McpRemoved(id=new_id(), by="r", host="h2", k=2))
        assert await one.hosts.reached(3, 5)
        await _written(one, 3)
    again = await type(one.hosts).open(tmp_path / "executor.sqlite")
    view = again.view("h1")
    assert (view.position, view.host, view.host_seq) == (3, richer, 1)
    assert again.get("h2") is None
    await again.close()


class Mute(MemoryLog):
    """A log that is away from the moment a success comes; it may have stored it."""

    def __init__(self, stores: bool) -> None:
        super().__init__()
        self._stores = stores

    async def append(self, fact: AnyFact, guard: Guard | None = None, trace: str = "") -> int:
        success = isinstance(fact, JobDone) and fact.outcome is Outcome.SUCCEEDED
        if success and not self._stores:
            await asyncio.Event().wait()
        seq = await super().append(fact, guard, trace)
        if success:
            await asyncio.Event().wait()
        return seq


async def test_a_success_that_waits_for_the_log_beyond_the_deadline_is_a_timeout(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, log=Mute(stores=False)) as one:
        await one.task(timeout_s=0.2)
        fact = (await one.fact(JobFailed)).fact
        assert isinstance(fact, JobFailed)
        assert (fact.kind, fact.called) == (FailureKind.TIMEOUT, True)
        await one.idle()
        assert one.facts() == ["created", "routed", "signed", "failed"]


async def test_a_success_that_got_out_before_the_deadline_stands(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, log=Mute(stores=True)) as one:
        await one.task(timeout_s=0.2)
        await one.fact(JobDone)
        await one.idle()
        assert one.facts() == ["created", "routed", "signed", "done"]


class Strict(MemoryLog):
    """A log that refuses the first claim, or failure without a claim, it is given."""

    refused = False

    async def append_all(self, items: Sequence[Append]) -> list[int | AlreadyRecorded]:
        if not self.refused:
            self.refused = True
            raise Rejected(Reason.TOO_LARGE, "not this one")
        return await super().append_all(items)


async def test_a_route_whose_claim_breaks_is_given_back_and_its_slot_is_free(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, log=Strict(), slots=1) as one:
        await one.task()
        await one.task("t2")
        await one.fact(JobDone, "t2")
        await one.fact(JobDone, "t1")


async def test_a_route_whose_failure_breaks_is_given_back_and_its_slot_is_free(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, log=Strict(), slots=1) as one:
        await one.task(host="nobody")
        await one.task("t2")
        await one.fact(JobDone, "t2")
        await one.fact(JobFailed, "t1")


async def test_a_route_whose_permit_cannot_be_signed_is_given_back(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, key, slots=1) as one:
        sign = type(key).sign

        def broken(*_: object) -> str:
            monkeypatch.setattr(type(key), "sign", sign)
            raise OSError("the key is gone")

        monkeypatch.setattr(type(key), "sign", broken)
        await one.task()
        await one.fact(JobDone)


class Stuck(MemoryDelivery):
    """A message that takes for ever to be given back, the first time."""

    refusing: asyncio.Event

    async def nak(self, delay_s: float = 0.0) -> None:
        if not self.refusing.is_set():
            self.refusing.set()
            await asyncio.Event().wait()


async def test_a_drain_gives_back_at_once_what_is_taken_and_not_claimed(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, started=False, drain_s=60) as one:
        queue = one.log._queue(subjects.STREAM, subjects.EXECUTOR_DURABLE)
        await one.log.append(routed("t1", spec(), host_seq=99))
        poison = Stuck(queue, "task.routed.alice.t0.1", 98, b"{")
        poison.refusing = asyncio.Event()
        queue.put(poison)
        running = asyncio.create_task(one.executor.run())
        async with asyncio.timeout(30):
            await poison.refusing.wait()
            assert one.executor.busy == 1
            await one.executor.drain()
            await asyncio.wait([running])
            while not any(delivery.redelivered for delivery in queue.messages):
                queue.news.clear()
                await queue.news.wait()
        assert one.executor.busy == 0
        assert one.facts() == ["routed"]


class Held(MemoryDelivery):
    """A message that tells when it is held."""

    holding: asyncio.Event

    async def hold(self) -> None:
        self.holding.set()


async def test_what_is_here_and_not_claimed_yet_is_held_with_every_beat(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, started=False) as one:
        queue = one.log._queue(subjects.STREAM, subjects.EXECUTOR_DURABLE)
        early = Held(queue, "task.routed.alice.t1.1", 98, encode(routed("t1", spec(), host_seq=99)))
        early.holding = asyncio.Event()
        queue.put(early)
        running = [
            asyncio.create_task(one.executor.run()),
            asyncio.create_task(one.executor.beat()),
        ]
        async with asyncio.timeout(30):
            for _ in range(2):
                await early.holding.wait()
                early.holding.clear()
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        assert one.facts() == []


async def test_a_cancel_from_before_a_restart_still_counts(tmp_path: Path, key: SigningKey) -> None:
    log = MemoryLog()
    async with world(tmp_path, key, log=log, started=False) as one:
        await one.task()
        await one.cancel()
        await _written(one, await log.head())
    async with world(tmp_path, key, log=log, hosts=(host("h2"),)) as one:
        fact = (await one.fact(JobDone)).fact
        assert isinstance(fact, JobDone)
        assert (fact.outcome, fact.attempt) == (Outcome.CANCELLED, 1)
        assert fact.error is not None
        assert fact.error.message == "changed my mind"
        assert (await one.fact(JobSigned)).seq < (await one.fact(JobDone)).seq
        assert not one.pool.calls


async def _written(one: World, seq: int) -> None:
    assert await one.hosts._projection.reached(seq, 5)
