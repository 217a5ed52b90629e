"""The executor on a log in memory: claim, call, outcome, in this order and at most once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from contracts import subjects, wire
from contracts.facts import (
    FailureKind,
    JobDone,
    JobFailed,
    JobSigned,
    McpRemoved,
    Outcome,
    Record,
    encode,
)
from contracts.result import Inline
from contracts.task import MAX_FILES, MAX_FILES_BYTES, MAX_INPUT_BYTES
from services.executor.attempt.call import Answer, Call, HostError
from services.executor.attempt.runner import RECHECK_S
from services.keys import permits
from services.keys.permits import SigningKey
from services.log.port import LogUnavailable
from services.process.ids import new_id
from tests.support import facts as some
from tests.unit.executor.world import fresh_key, host, refusal, routed, spec, world


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return fresh_key(tmp_path_factory.mktemp("data"))


async def forever(call: Call) -> Answer:
    await call.begin()
    await asyncio.Event().wait()
    return Answer([])


async def test_a_route_becomes_a_claim_a_call_and_an_end(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key) as one:
        route = await one.task()
        done = (await one.fact(JobDone)).fact
        signed = (await one.fact(JobSigned)).fact
        assert isinstance(done, JobDone)
        assert isinstance(signed, JobSigned)
        assert one.facts() == ["created", "routed", "signed", "done"]
        assert (done.outcome, done.attempt, done.host) == (Outcome.SUCCEEDED, 1, "h1")
        assert isinstance(done.result, Inline)
        value = msgspec.json.decode(bytes(done.result.value))
        attempt_ = {"task": "t1", "attempt": 1}
        assert value == {"content": [], "structured": attempt_, "is_error": False}
        claims = permits.verify(signed.permit, key.jwk, audience="h1", at=time.time())
        assert (claims.sub, claims.jti) == ("alice", "t1.1")
        assert claims.input_sha256 == route.route.input_sha256 == done.input_sha256
        assert (signed.executor, signed.incarnation) == ("executor-1", "run-1")
        assert signed.expires == claims.exp


@pytest.mark.parametrize("ahead_s", [-86_400, -3600, 3600, 86_400])
async def test_a_permit_is_valid_by_the_clock_of_the_log(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    logs = SimpleNamespace(time=lambda: time.time() + ahead_s, monotonic=time.monotonic)
    for module in ("services.log.memory", "tests.unit.executor.world"):
        monkeypatch.setattr(f"{module}.time", logs)
    async with world(tmp_path, key) as one:
        await one.task()
        await one.fact(JobDone)
        signed = (await one.fact(JobSigned)).fact
    assert isinstance(signed, JobSigned)
    claims = permits.verify(signed.permit, key.jwk, audience="h1", at=logs.time())
    assert claims.iat == pytest.approx(logs.time(), abs=10)
    assert signed.expires == claims.exp > logs.time()


async def test_the_claim_stands_in_the_log_before_the_call(tmp_path: Path, key: SigningKey) -> None:
    seen: list[list[str]] = []

    async def look(call: Call) -> Answer:
        seen.append(one.facts())
        assert call.plan.permit
        return Answer([])

    async with world(tmp_path, key, script=look) as one:
        await one.task()
        await one.fact(JobDone)
    assert seen == [["created", "routed", "signed"]]


async def test_a_refused_claim_makes_no_call(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, started=False) as one:
        await one.task()
        await one.log.append(some.signed("alice", "t1", executor="executor-2"))
        running = asyncio.create_task(one.executor.run())
        await one.task("t2")
        await one.fact(JobDone, "t2")
        await one.idle()
        running.cancel()
        assert one.facts() == ["created", "routed", "signed"]
        assert [call.plan.task for call in one.pool.calls] == ["t2"]


async def test_a_task_that_is_over_is_not_run(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, started=False) as one:
        await one.task()
        await one.log.append(some.done("alice", "t1", Outcome.TIMED_OUT))
        await one.task("t2", expires=time.time() - 1, now=time.time())
        running = asyncio.create_task(one.executor.run())
        await one.task("t3")
        await one.fact(JobDone, "t3")
        await one.idle()
        running.cancel()
        assert len(one.pool.calls) == 1
        assert one.facts("t2") == ["created", "routed"]


async def test_a_route_that_comes_twice_runs_once(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key) as one:
        route = await one.task()
        queue = one.log._queue(subjects.STREAM, subjects.EXECUTOR_DURABLE)
        queue.add(subjects.of(route), encode(route))
        await one.fact(JobDone)
        queue.add(subjects.of(route), encode(route))
        await one.task("t2")
        await one.fact(JobDone, "t2")
        await one.idle()
        assert one.facts() == ["created", "routed", "signed", "done"]
        assert len(one.pool.calls) == 2


async def test_a_poison_route_stops_nobody(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, slots=1) as one:
        queue = one.log._queue(subjects.STREAM, subjects.EXECUTOR_DURABLE)
        for data in (b"{", b'{"type":"nobody"}', b"[]"):
            queue.add("task.routed.alice.t0.1", data)
        await one.task()
        await one.fact(JobDone)
        assert not queue.messages


async def test_no_more_routes_are_taken_than_there_are_slots(
    tmp_path: Path, key: SigningKey
) -> None:
    go = asyncio.Event()
    most = 0

    async def hold(call: Call) -> Answer:
        nonlocal most
        most = max(most, one.executor.busy)
        await go.wait()
        return Answer([])

    async with world(tmp_path, key, script=hold, slots=3) as one:
        for number in range(9):
            await one.task(f"t{number}")
        async with asyncio.timeout(30):
            while len(one.pool.calls) < 3:
                one.pool.called.clear()
                await one.pool.called.wait()
        go.set()
        for number in range(9):
            await one.fact(JobDone, f"t{number}")
    assert most == 3


@pytest.mark.parametrize(
    ("error", "kind", "called", "retryable"),
    [
        (HostError(FailureKind.TOOL, "no", called=True), "tool", True, False),
        (HostError(FailureKind.UNREACHABLE, "gone"), "unreachable", False, True),
        (HostError(FailureKind.CUT, "cut", called=None), "cut", None, False),
        (HostError(FailureKind.PROTOCOL, "x", called=True, transient=True), "protocol", True, True),
        (ValueError("a bug"), "cut", None, False),
    ],
)
async def test_a_failure_is_recorded_as_judged(
    tmp_path: Path,
    key: SigningKey,
    error: Exception,
    kind: str,
    called: bool | None,
    retryable: bool,
) -> None:
    async with world(tmp_path, key, script=refusal(error)) as one:  # type: ignore[arg-type]
        await one.task()
        fact = (await one.fact(JobFailed)).fact
        assert isinstance(fact, JobFailed)
        assert (fact.kind, fact.called, fact.retryable) == (kind, called, retryable)
        assert (fact.attempt, fact.host, fact.by) == (1, "h1", "executor-1")
        assert fact.message


async def test_bad_input_is_claimed_and_never_called(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key) as one:
        await one.task(spec_=spec(input={"tool": "other"}))
        fact = (await one.fact(JobFailed)).fact
        assert isinstance(fact, JobFailed)
        assert (fact.kind, fact.called, fact.retryable) == (FailureKind.BAD_INPUT, False, False)
        assert "other" in fact.message
        assert one.facts() == ["created", "routed", "signed", "failed"]
        assert not one.pool.calls


async def test_a_host_registered_anew_is_gone_without_a_claim(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, started=False) as one:
        await one.task()
        await one.register(host(server="newer"), k=2)
        running = asyncio.create_task(one.executor.run())
        fact = (await one.fact(JobFailed)).fact
        assert isinstance(fact, JobFailed)
        assert (fact.kind, fact.called, fact.retryable) == (FailureKind.HOST_GONE, False, True)
        await one.log.append(McpRemoved(id=new_id(), by="r", host="h1", k=3))
        await one.task("t2")
        assert (await one.fact(JobFailed, "t2")).fact.kind is FailureKind.HOST_GONE  # type: ignore[union-attr]
        assert one.facts() == ["created", "routed", "failed"]
        running.cancel()


async def test_a_route_waits_until_the_host_is_known(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key) as one:
        wanted = spec()
        await one.log.append(some.created("alice", "t1", spec=wanted))
        at = await one.log.head() + 2
        await one.log.append(routed("t1", wanted, host="h2", host_seq=at))
        await one.register(host("h2"))
        done = (await one.fact(JobDone)).fact
        assert isinstance(done, JobDone)
        assert done.host == "h2"


async def test_a_call_over_its_time_is_cancelled_and_a_timeout(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, script=forever) as one:
        await one.task(timeout_s=0.05)
        fact = (await one.fact(JobFailed)).fact
        assert isinstance(fact, JobFailed)
        assert (fact.kind, fact.called, fact.retryable) == (FailureKind.TIMEOUT, None, False)


async def test_a_success_after_the_deadline_is_not_written(tmp_path: Path, key: SigningKey) -> None:
    async def late(call: Call) -> Answer:
        await call.begin()
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            """Keep the loop from noticing the time, as a frozen process would."""
        call.called = True
        return Answer([])

    async with world(tmp_path, key, script=late) as one:
        await one.task(timeout_s=0.05)
        fact = (await one.fact(JobFailed)).fact
        assert isinstance(fact, JobFailed)
        assert (fact.kind, fact.called) == (FailureKind.TIMEOUT, True)
        assert one.facts() == ["created", "routed", "signed", "failed"]


async def test_an_attempt_that_was_taken_away_in_a_pause_makes_no_call(
    tmp_path: Path, key: SigningKey
) -> None:
    reached: list[bool] = []

    async def paused(call: Call) -> Answer:
        await one.fact(JobSigned)
        await one.log.append(some.failed("alice", "t1", kind=FailureKind.LOST))
        attempt = next(iter(one.executor._attempts.values()))
        attempt.claimed_at -= RECHECK_S + 1
        await call.begin()
        reached.append(True)
        return Answer([])

    async with world(tmp_path, key, script=paused) as one:
        await one.task()
        await one.fact(JobFailed)
        await one.idle()
        assert one.facts() == ["created", "routed", "signed", "failed"]
    assert reached == []


async def test_a_running_task_that_is_cancelled_ends_so(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, script=forever) as one:
        await one.task()
        async with asyncio.timeout(30):
            await one.pool.called.wait()
        await one.cancel()
        fact = (await one.fact(JobDone)).fact
        assert isinstance(fact, JobDone)
        assert (fact.outcome, fact.attempt) == (Outcome.CANCELLED, 1)
        assert fact.error is not None
        assert fact.error.message == "changed my mind"


async def test_a_task_cancelled_before_its_claim_is_left_to_the_router(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, started=False) as one:
        await one.task()
        await one.cancel()
        running = asyncio.create_task(one.executor.run())
        await one.task("t2")
        await one.fact(JobDone, "t2")
        await one.idle()
        running.cancel()
        assert one.facts() == ["created", "routed", "cancelled"]


async def test_a_drain_lets_calls_end_and_cuts_what_does_not(
    tmp_path: Path, key: SigningKey
) -> None:
    go = asyncio.Event()

    async def either(call: Call) -> Answer:
        await call.begin()
        await (go.wait() if call.plan.task == "t1" else asyncio.Event().wait())
        return Answer([])

    async with world(tmp_path, key, script=either) as one:
        await one.task("t1")
        await one.task("t2")
        async with asyncio.timeout(30):
            while len(one.pool.calls) < 2:
                one.pool.called.clear()
                await one.pool.called.wait()
        draining = asyncio.create_task(one.executor.drain())
        await one.task("t3")
        go.set()
        done = (await one.fact(JobDone, "t1")).fact
        cut = (await one.fact(JobFailed, "t2")).fact
        await draining
        assert isinstance(done, JobDone)
        assert isinstance(cut, JobFailed)
        assert done.outcome is Outcome.SUCCEEDED
        assert (cut.kind, cut.called) == (FailureKind.CUT, None)
        assert one.facts("t3") == ["created", "routed"]


async def test_it_beats_at_once_and_says_how_busy_it_is(tmp_path: Path, key: SigningKey) -> None:
    async with world(tmp_path, key, slots=7) as one:
        beating = asyncio.create_task(one.executor.beat())
        async with asyncio.timeout(30):
            await one.beaten.wait()
        beating.cancel()
        subject, data = one.published[0]
        assert subject == "beat.executor.executor-1"
        limits = MAX_FILES, MAX_FILES_BYTES, MAX_INPUT_BYTES
        told = wire.Beat("executor-1", "run-1", 0, 7, *limits)
        assert msgspec.json.decode(data, type=wire.Beat) == told


async def test_a_task_that_cannot_be_read_yet_is_called_once_it_can(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, started=False) as one:
        read, refusals = one.log.read_last, 2

        async def faulty(names: list[str], *, reach: int) -> list[Record]:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise LogUnavailable("away")
            return await read(names, reach=reach)

        one.log.read_last = faulty
        running = asyncio.create_task(one.executor.run())
        await one.task()
        done = (await one.fact(JobDone)).fact
        running.cancel()
        assert done.outcome is Outcome.SUCCEEDED
        assert refusals == 0
        assert len(one.pool.calls) == 1


async def test_a_route_without_its_task_fails_after_the_claim_and_calls_nobody(
    tmp_path: Path, key: SigningKey
) -> None:
    async with world(tmp_path, key, started=False) as one:
        running = asyncio.create_task(one.executor.run())
        await one.log.append(routed("ghost", spec()))
        failed = (await one.fact(JobFailed, "ghost")).fact
        running.cancel()
        assert (failed.kind, failed.called) == (FailureKind.BAD_INPUT, False)
        assert one.facts("ghost") == ["routed", "signed", "failed"]
        assert not one.pool.calls
