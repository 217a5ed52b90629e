"""Breakers at the doors of real sessions, and what is told of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mcp_types
import msgspec
import pytest

from contracts.facts import FailureKind
from contracts.host import Stdio
from contracts.wire import Breaker
from services.executor.attempt.call import Call, HostError, HostSession
from services.executor.attempt.course import Death
from services.executor.hosts.breaker import BreakerRules, BreakerState, Verdict
from services.executor.hosts.breakers import Admitted, Breakers, CallGuard
from tests.support.forked import command
from tests.unit.executor.sessions import NOOP, ROOT, STDIO, Bench, closing

ERRING = "tests.unit.executor.erring_server"
TWO = BreakerRules(failures=2)
"""A server that dies takes a second to start again: two of them show as much as five."""
FOREVER = float("inf")


class Clock:
    """Time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Door:
    """What the pool does with a guard and a session."""

    def __init__(self, guard: CallGuard, session: HostSession) -> None:
        self.guard = guard
        self.session = session
        self.calls = 0

    async def call(self, call: Call, deadline: float = FOREVER) -> Any:
        user = call.plan.user
        self.guard.check(user)
        waited = await self.guard.turn(user)
        with self.guard.watch(call, deadline, waited=waited):
            self.calls += 1
            return await self.session.call(call)

    async def fails(self, call: Call, deadline: float = FOREVER) -> HostError:
        with pytest.raises(HostError) as caught:
            await self.call(call, deadline)
        return caught.value

    def state(self) -> BreakerState:
        return self.guard.breaker.state(self.guard._clock())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stdio(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, STDIO)
    yield bench
    await closing(bench)


@pytest.fixture
def door(stdio: Bench, clock: Clock) -> Door:
    return Door(Breakers(TWO, clock).of("h1", 7, owned=True), stdio.open())


async def open_it(door: Door, bench: Bench) -> None:
    """Have the server die until nobody calls it any more."""
    while door.state() is not BreakerState.OPEN:
        assert (await door.fails(bench.call("die"))).kind is FailureKind.CUT


async def test_a_host_that_dies_in_every_call_is_called_no_more(door: Door, stdio: Bench) -> None:
    await open_it(door, stdio)
    error = await door.fails(stdio.call("echo"))
    assert (error.kind, error.called, door.calls) == (FailureKind.UNREACHABLE, False, 2)
    assert error.message.startswith("the breaker of host h1 opened 0.0 s ago: 2 calls in a row")
    assert "the connection was lost. The next is let through in" in error.message
    assert "last words" not in error.message, "what a server said may be another user's"


async def test_the_first_good_call_after_its_time_closes_it(
    door: Door, stdio: Bench, clock: Clock
) -> None:
    await open_it(door, stdio)
    clock.now += 1.2
    assert (await door.call(stdio.call("echo")))["is_error"] is False
    assert door.state() is BreakerState.CLOSED
    await door.call(stdio.call("echo"))


async def test_one_call_tries_while_the_others_wait_for_its_end(
    door: Door, stdio: Bench, clock: Clock
) -> None:
    await open_it(door, stdio)
    clock.now += 1.2
    trial = asyncio.create_task(door.call(stdio.call("work", ms=300)))
    await stdio.until_written(TWO.failures + 1)
    others = [asyncio.create_task(door.call(stdio.call("echo"))) for _ in range(5)]
    await trial
    assert [other.done() for other in others] == [False] * 5
    for other in others:
        assert (await other)["is_error"] is False
    assert door.state() is BreakerState.CLOSED


async def test_those_who_wait_for_a_trial_that_fails_are_turned_away(
    door: Door, stdio: Bench, clock: Clock
) -> None:
    await open_it(door, stdio)
    clock.now += 1.2
    trial = asyncio.create_task(door.fails(stdio.call("die")))
    others = [asyncio.create_task(door.fails(stdio.call("echo"))) for _ in range(3)]
    assert (await trial).kind is FailureKind.CUT
    for other in others:
        assert ((await other).kind, (await other).called) == (FailureKind.UNREACHABLE, False)
    assert door.calls == TWO.failures + 1


async def test_a_trial_that_takes_long_holds_nobody_up_for_long(stdio: Bench, clock: Clock) -> None:
    door = Door(Breakers(TWO._replace(trial_s=0.1), clock).of("h1", 7, owned=True), stdio.open())
    await open_it(door, stdio)
    clock.now += 1.2
    trial = asyncio.create_task(door.call(stdio.call("hang")))
    await stdio.until_written(TWO.failures + 1)
    assert (await door.call(stdio.call("echo")))["is_error"] is False
    assert door.state() is BreakerState.CLOSED
    trial.cancel()
    await asyncio.wait([trial])


async def test_a_trial_that_fails_keeps_it_open_for_longer(
    door: Door, stdio: Bench, clock: Clock
) -> None:
    await open_it(door, stdio)
    clock.now += 1.2
    await door.fails(stdio.call("die"))
    clock.now += 1.2
    assert door.state() is BreakerState.OPEN
    clock.now += 1.2
    assert door.state() is BreakerState.HALF_OPEN


async def test_a_tool_that_answers_with_errors_is_no_fault_of_its_host(
    door: Door, stdio: Bench
) -> None:
    for _ in range(TWO.failures + 1):
        assert (await door.fails(stdio.call("fail"))).kind is FailureKind.TOOL
    assert door.state() is BreakerState.CLOSED


@pytest.mark.parametrize("code", [mcp_types.INTERNAL_ERROR, mcp_types.INVALID_PARAMS, -32000, 404])
async def test_an_error_that_a_server_answers_with_proves_that_it_answers(
    stdio: Bench, clock: Clock, code: int
) -> None:
    endpoint = Stdio((start := command(ERRING))[0], start[1:], cwd=str(ROOT))
    door = Door(Breakers(TWO, clock).of("h1", 7, owned=True), stdio.open(endpoint=endpoint))
    for _ in range(TWO.failures):
        assert (await door.fails(stdio.call("err", code=code))).kind is FailureKind.PROTOCOL
    assert door.state() is BreakerState.CLOSED


async def given_up(door: Door, call: Call, deadline: float) -> None:
    """Cancel a call that the server has been sent, as its attempt does at the deadline."""
    task = asyncio.create_task(door.call(call, deadline))
    while call.called is not None:
        await asyncio.wait([task], timeout=0.005)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize(
    ("left_s", "state"),
    [(0.04, BreakerState.OPEN), (60.0, BreakerState.CLOSED)],
    ids=["its time was up", "its user cancelled it"],
)
async def test_a_call_that_gets_no_answer_counts_when_its_time_is_up(
    stdio: Bench, clock: Clock, left_s: float, state: BreakerState
) -> None:
    patient = TWO._replace(patience_s=0.0)
    door = Door(Breakers(patient, clock).of("h1", 7, owned=True), stdio.open())
    for _ in range(TWO.failures):
        await given_up(door, stdio.call("hang"), clock.now + left_s)
    assert door.state() is state


async def test_a_user_who_gives_a_host_no_time_proves_nothing(stdio: Bench, clock: Clock) -> None:
    door = Door(Breakers(TWO, clock).of("h1", 7, owned=True), stdio.open())
    for _ in range(TWO.failures):
        await given_up(door, stdio.call("hang"), clock.now)
    assert door.state() is BreakerState.CLOSED


async def test_a_trial_that_is_cancelled_makes_way_for_another(
    door: Door, stdio: Bench, clock: Clock
) -> None:
    await open_it(door, stdio)
    clock.now += 1.2
    await given_up(door, stdio.call("hang"), clock.now + 60)
    assert door.state() is BreakerState.HALF_OPEN
    await door.call(stdio.call("echo"))
    assert door.state() is BreakerState.CLOSED


async def test_a_registration_has_a_breaker_of_its_own(clock: Clock) -> None:
    breakers = Breakers(TWO, clock)
    first = breakers.of("h1", 7)
    assert breakers.of("h1", 7) is first
    assert breakers.of("h1", 8) is not first
    again = breakers.of("h1", 8)
    breakers.forget("h1")
    assert breakers.of("h1", 8) is not again


class Told:
    """Everything that was published."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[str, Breaker]] = asyncio.Queue()
        self.broken = False

    async def publish(self, subject: str, data: bytes) -> None:
        if self.broken:
            raise ConnectionError("no server")
        self._queue.put_nowait((subject, msgspec.json.decode(data, type=Breaker)))

    async def next(self) -> Breaker:
        async with asyncio.timeout(30):
            subject, message = await self._queue.get()
        assert subject == f"breaker.-.{message.host}"
        return message

    def nothing(self) -> bool:
        return self._queue.empty()


@contextlib.asynccontextmanager
async def telling(breakers: Breakers, told: Told) -> AsyncIterator[None]:
    task = asyncio.create_task(breakers.run("executor-1", told.publish))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[Bench]:
    """Hosts that answer at once, or can't be started."""
    bench = Bench(tmp_path, NOOP)
    yield bench
    await closing(bench)


async def break_it(guard: CallGuard, bench: Bench) -> None:
    """Have calls fail at its door until it opens."""
    door = Door(guard, bench.open(endpoint=Stdio("no-such-command-anywhere")))
    while door.state() is not BreakerState.OPEN:
        await door.fails(bench.call("noop"))


async def test_opening_half_opening_and_closing_are_told(quick: Bench) -> None:
    breakers, told = Breakers(BreakerRules(failures=2, first_s=0.05)), Told()
    guard = breakers.of("h1", 7, owned=True)
    async with telling(breakers, told):
        await break_it(guard, quick)
        first, second = await told.next(), await told.next()
        assert (first.instance, first.host, first.host_seq) == ("executor-1", "h1", 7)
        assert (first.open, first.failures) == (True, 2)
        assert first.reason == "2 calls in a row failed; at the last one it could not be reached"
        assert second == msgspec.structs.replace(first, open=False)
        await Door(guard, quick.open()).call(quick.call("noop"))
        assert await told.next() == Breaker("executor-1", "h1", 7, open=False)
    assert told.nothing()


async def test_what_is_not_closed_is_told_again_and_what_is_forgotten_is_not(
    quick: Bench,
) -> None:
    breakers, told = Breakers(BreakerRules(failures=2, first_s=60.0), repeat_s=0.05), Told()
    async with telling(breakers, told):
        await break_it(breakers.of("h1", 7, owned=True), quick)
        first = await told.next()
        assert [await told.next(), await told.next()] == [first, first]
        breakers.forget("h1")
        await break_it(breakers.of("h2", 8, owned=True), quick)
        message = await told.next()
        while message.host == "h1":
            message = await told.next()
        assert [await told.next(), await told.next()] == [message, message]


async def test_a_message_that_gets_lost_is_made_good(
    quick: Bench,
) -> None:
    breakers, told = Breakers(BreakerRules(failures=2, first_s=60.0), repeat_s=0.05), Told()
    told.broken = True
    async with telling(breakers, told):
        await break_it(breakers.of("h1", 7, owned=True), quick)
        told.broken = False
        assert (await told.next()).open


async def test_good_calls_are_no_news(quick: Bench) -> None:
    breakers, told = Breakers(), Told()
    door = Door(breakers.of("h1", 7, owned=True), quick.open())
    async with telling(breakers, told):
        await asyncio.gather(*(door.call(quick.call("noop")) for _ in range(20)))
    assert told.nothing()


def test_half_of_the_calls_failing_is_told_and_so_is_its_end() -> None:
    clock, woken = Clock(), 0

    def wake() -> None:
        nonlocal woken
        woken += 1

    guard = CallGuard("h", 7, BreakerRules(failures=100), clock, wake, owned=True)
    ends = [True, False] * 4
    for fails in ends:
        clock.now += 1
        found = guard.breaker.admit(clock.now)
        assert found is not None
        verdict = Verdict.FAULT if fails else Verdict.ANSWERS
        guard._learn("ann", Admitted(found, 0), verdict, FailureKind.CUT)
    assert woken >= 1
    assert guard.news(clock.now, 3.0)
    told = guard.message(clock.now, "executor-1")
    assert (told.open, told.recent_faults, told.recent_calls) == (False, 4, 8)
    assert not guard.news(clock.now, 3.0)
    assert guard.news(clock.now + 3, 3.0), "it is told again"
    assert guard.next_news(clock.now, 3.0) == clock.now + 3
    woken = 0
    for _ in range(20):
        guard._learn(
            "ann",
            Admitted(guard.breaker.admit(clock.now) or 0, 0),
            Verdict.ANSWERS,
            FailureKind.LOST,
        )
    assert woken >= 1
    assert guard.news(clock.now, 3.0)
    told = guard.message(clock.now, "executor-1")
    assert (told.recent_faults, told.recent_calls) == (0, 0)
    assert not guard.news(clock.now + 10, 3.0)
    assert guard.next_news(clock.now, 3.0) == FOREVER


def end_with(guard: CallGuard, bench: Bench, death: Death) -> None:
    """A call ends with its session."""
    call = bench.call()
    call.course.death = death
    error = HostError(FailureKind.CUT, "gone", called=None)
    with contextlib.suppress(HostError), guard.watch(call, FOREVER):
        raise error


def test_the_end_of_a_session_is_one_failure_and_alone_it_is_none(stdio: Bench) -> None:
    clock, told = Clock(), []
    guard = CallGuard(
        "h", 7, BreakerRules(failures=2), clock, lambda: told.append(clock.now), owned=True
    )
    shared = Death("it died", shared=True)
    for _ in range(8):
        end_with(guard, stdio, shared)
    assert (guard.breaker.failures, guard.breaker.until, told) == (1, None, [])
    assert not guard.news(clock.now, 3.0)
    for count in (2, 3, 4):
        end_with(guard, stdio, Death("it died", shared=False))
        assert (guard.breaker.failures, guard.breaker.until) == (1, None)
        assert guard.news(clock.now, 3.0)
        assert guard.message(clock.now, "executor-1").deaths == count
    assert told
    end_with(guard, stdio, Death("it died", shared=True))
    assert guard.breaker.until is not None
    clock.now += BreakerRules().recent_s + 1
    guard._learn(
        "ann", Admitted(guard.breaker.admit(clock.now) or 0, 0), Verdict.ANSWERS, FailureKind.LOST
    )
    assert guard.message(clock.now, "executor-1").deaths == 0
