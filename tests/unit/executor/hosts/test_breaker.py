"""The circuit breaker by itself: when it opens, what it lets through, how it closes."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import hypothesis
import pytest
from hypothesis import strategies as st

from contracts.facts import FailureKind
from services.executor.hosts.breaker import (
    RULES,
    BreakerState,
    Circuit,
    Recent,
    Ticket,
    Verdict,
    verdict,
)

CUT = FailureKind.CUT


def opened(openings: int = 1, at: float = 100.0) -> tuple[Circuit, float]:
    """A breaker that has just opened so many times in a row, and the time that is."""
    breaker, now = Circuit(), at
    for _ in range(RULES.failures):
        failed(breaker, now)
    for _ in range(openings - 1):
        assert breaker.until is not None
        now = breaker.until
        failed(breaker, now)
    return breaker, now


def failed(breaker: Circuit, now: float, jitter: float = 0.5) -> None:
    ticket = breaker.admit(now)
    assert ticket is not None
    breaker.failed(ticket, CUT, now, jitter)


def test_it_opens_after_five_failures_in_a_row_and_no_sooner() -> None:
    breaker = Circuit()
    for count in range(1, 5):
        failed(breaker, 1.0)
        assert (breaker.state(1.0), breaker.failures) == (BreakerState.CLOSED, count)
    failed(breaker, 1.0)
    assert (breaker.state(1.0), breaker.failures, breaker.last) == (BreakerState.OPEN, 5, CUT)
    assert breaker.admit(1.0) is None


def test_one_success_between_failures_starts_the_count_anew() -> None:
    breaker = Circuit()
    for _ in range(3):
        for _ in range(4):
            failed(breaker, 1.0)
        ticket = breaker.admit(1.0)
        assert ticket is not None
        breaker.succeeded(ticket, 1.0)
    assert (breaker.state(1.0), breaker.failures) == (BreakerState.CLOSED, 0)


def test_it_is_open_twice_as_long_each_time_up_to_a_minute() -> None:
    lengths = []
    for openings in range(1, 9):
        breaker, now = opened(openings)
        assert breaker.until is not None
        lengths.append(round(breaker.until - now, 6))
    assert lengths == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 0.9), (1.0, 1.1)])
def test_jitter_moves_the_end_by_a_tenth(jitter: float, seconds: float) -> None:
    breaker = Circuit()
    for _ in range(RULES.failures):
        failed(breaker, 10.0, jitter)
    assert breaker.until == pytest.approx(10.0 + seconds)


def test_a_host_that_fails_again_soon_after_it_recovered_is_left_alone_for_longer() -> None:
    breaker, now = opened(3)
    for wait_s, seconds in ((1.0, 8.0), (RULES.stable_s, 1.0)):
        assert breaker.until is not None
        now = breaker.until
        trial = breaker.admit(now)
        assert trial is not None
        breaker.succeeded(trial, now)
        now += wait_s
        for _ in range(RULES.failures):
            failed(breaker, now)
        assert breaker.until == pytest.approx(now + seconds)


def test_the_end_of_a_call_from_before_it_opened_says_nothing() -> None:
    breaker = Circuit()
    old = [breaker.admit(0.0) for _ in range(RULES.failures + 2)]
    for ticket in old[2:]:
        assert ticket is not None
        breaker.failed(ticket, CUT, 1.0, 0.5)
    until = breaker.until
    first, second = old[:2]
    assert first is not None
    assert second is not None
    breaker.succeeded(first, 1.5)
    breaker.failed(second, CUT, 1.5, 0.5)
    assert (breaker.until, breaker.failures) == (until, RULES.failures)


def test_a_trial_that_says_nothing_makes_way_for_another() -> None:
    breaker, _ = opened()
    assert breaker.until is not None
    now = breaker.until
    trial = breaker.admit(now)
    assert trial is not None
    assert breaker.admit(now) is None
    breaker.dropped(trial)
    assert breaker.state(now) is BreakerState.HALF_OPEN
    assert breaker.admit(now) is not None


def test_who_has_waited_long_enough_for_a_trial_is_let_through_beside_it() -> None:
    breaker, now = opened()
    assert breaker.admit(now, waited=True) is None, "never while it is open"
    assert breaker.until is not None
    now = breaker.until
    first, second = breaker.admit(now), breaker.admit(now, waited=True)
    assert first is not None
    assert second is not None
    breaker.dropped(first)
    assert breaker.admit(now) is None, "the second is still under way"
    breaker.failed(second, CUT, now, 0.5)
    assert breaker.state(now) is BreakerState.OPEN


FAULT, ANSWERS, NOTHING = Verdict.FAULT, Verdict.ANSWERS, Verdict.NOTHING


@pytest.mark.parametrize(
    ("kind", "called", "caller", "expected"),
    [
        (FailureKind.UNREACHABLE, False, False, FAULT),
        (FailureKind.UNREACHABLE, True, False, FAULT),
        (FailureKind.CUT, None, False, FAULT),
        (FailureKind.TIMEOUT, None, False, FAULT),
        (FailureKind.PROTOCOL, True, False, FAULT),
        (FailureKind.PROTOCOL, True, True, ANSWERS),
        (FailureKind.TOOL, True, False, ANSWERS),
        (FailureKind.TOO_LARGE, True, False, ANSWERS),
        (FailureKind.BAD_INPUT, True, False, ANSWERS),
        (FailureKind.BAD_INPUT, False, False, NOTHING),
        (FailureKind.FORBIDDEN_PATH, False, False, NOTHING),
        (FailureKind.LOST, False, False, NOTHING),
        (FailureKind.LOST, True, False, NOTHING),
        (FailureKind.HOST_GONE, False, False, NOTHING),
    ],
)
def test_only_what_is_the_hosts_fault_counts(
    kind: FailureKind, called: bool | None, caller: bool, expected: Verdict
) -> None:
    assert verdict(kind, called, caller=caller) is expected


class Admit(NamedTuple):
    """A call comes to the door."""


class End(NamedTuple):
    """One of the calls that are in ends."""

    which: int
    how: Verdict
    jitter: float


class Pass(NamedTuple):
    """Time goes by."""

    seconds: float


Step: TypeAlias = Admit | End | Pass
SHARES = st.floats(0, 1)
STEPS = st.lists(
    st.just(Admit())
    | st.builds(End, st.integers(0, 99), st.sampled_from(Verdict), SHARES)
    | st.builds(Pass, st.sampled_from([0.1, 0.9, 1.2, 5.0, 70.0])),
    max_size=120,
)


class History:
    """Does what the steps say and checks, at each of them, what must always hold."""

    def __init__(self) -> None:
        self.breaker = Circuit()
        self.now = 0.0
        self.inside: list[tuple[Ticket, BreakerState]] = []

    def take(self, step: Step) -> None:
        match step:
            case Admit():
                self.admit()
            case End():
                self.end(step)
            case Pass(seconds):
                self.now += seconds

    def admit(self) -> None:
        before = self.breaker.state(self.now)
        trials = self.trials()
        ticket = self.breaker.admit(self.now)
        assert (ticket is None) == (
            before is BreakerState.OPEN or (before is BreakerState.HALF_OPEN and trials)
        )
        if ticket is not None:
            self.inside.append((ticket, before))
        assert self.trials() <= 1

    def trials(self) -> int:
        return sum(when is BreakerState.HALF_OPEN for _, when in self.inside)

    def end(self, step: End) -> None:
        if not self.inside:
            return
        ticket, when = self.inside.pop(step.which % len(self.inside))
        before = self.breaker.state(self.now)
        match step.how:
            case Verdict.ANSWERS:
                self.breaker.succeeded(ticket, self.now)
            case Verdict.FAULT:
                self.breaker.failed(ticket, CUT, self.now, step.jitter)
            case Verdict.NOTHING:
                self.breaker.dropped(ticket)
        after = self.breaker.state(self.now)
        if when is BreakerState.HALF_OPEN:
            outcome = {
                ANSWERS: BreakerState.CLOSED,
                FAULT: BreakerState.OPEN,
                NOTHING: BreakerState.HALF_OPEN,
            }
            assert after is outcome[step.how]
        elif before is not BreakerState.CLOSED:
            assert after is before, "a call from before it opened has moved it"
        if self.breaker.until is not None and after is BreakerState.OPEN:
            assert self.breaker.until - self.now <= RULES.longest_s * 1.1


@hypothesis.given(STEPS)
def test_it_lets_through_one_trial_at_a_time_and_nothing_while_it_is_open(
    steps: list[Step],
) -> None:
    history = History()
    for step in steps:
        history.take(step)


@hypothesis.given(STEPS)
def test_whatever_has_happened_it_lets_one_through_in_the_end_and_a_success_closes_it(
    steps: list[Step],
) -> None:
    history = History()
    for step in steps:
        history.take(step)
    while history.inside:
        history.end(End(0, NOTHING, 0.5))
    now = history.now + RULES.longest_s * 1.1
    ticket = history.breaker.admit(now)
    assert ticket is not None
    history.breaker.succeeded(ticket, now)
    assert history.breaker.state(now) is BreakerState.CLOSED
    assert history.breaker.failures == 0


@hypothesis.given(st.lists(st.tuples(st.floats(0, 300), st.booleans()), max_size=60))
def test_recent_calls_are_counted_and_forgotten(calls: list[tuple[float, bool]]) -> None:
    recent, now = Recent(RULES), 0.0
    every: list[tuple[float, bool]] = []
    for wait, fault in calls:
        now += wait
        recent.add(now, fault=fault)
        every = [*every, (now, fault)][-RULES.recent :]
        left = [one for one in every if one[0] >= now - RULES.recent_s]
        faults = sum(fault for _, fault in left)
        told = faults * 2 >= len(left) >= RULES.enough
        assert recent.faults(now) == ((faults, len(left)) if told else (0, 0))
    assert recent.faults(now + RULES.recent_s + 1) == (0, 0)


def test_sessions_that_die_are_told_of_from_the_second_on_and_forgotten() -> None:
    recent = Recent(RULES)
    recent.died(0.0)
    assert recent.deaths(1.0) == 0
    recent.died(10.0)
    assert recent.deaths(11.0) == 2
    assert recent.deaths(RULES.recent_s + 5) == 0
    for n in range(100):
        recent.died(1000.0 + n / 100)
    assert recent.deaths(1001.0) == RULES.recent


@hypothesis.given(st.lists(st.sampled_from([*"aaab", None]), max_size=40))
def test_it_opens_for_all_by_failures_of_several_only(ends: list[str | None]) -> None:
    """`None` is a good call; each letter a user whose call fails."""
    breaker = Circuit(for_all=True)
    row: list[str] = []
    for user in ends:
        if (ticket := breaker.admit(1.0)) is None:
            break
        if user is None:
            breaker.succeeded(ticket, 1.0)
            row.clear()
            continue
        breaker.failed(ticket, CUT, 1.0, 0.5, user)
        row.append(user)
    counted = sum(min(row.count(user), 3) for user in set(row))
    assert (breaker.state(1.0) is BreakerState.OPEN) == (counted >= RULES.failures)
