"""Log time stays right for weeks, on clocks that drift and with facts that come late."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.log.clock import JUMP_S, WINDOW_S, LogClock, ServerClock, apart

DAY_S = 86_400.0


@pytest.mark.parametrize("drift", [50e-6, -50e-6, 200e-6])
@pytest.mark.parametrize("every_s", [5.0, 60.0, 1000.0])
def test_after_a_week_of_drift_log_time_is_still_right(drift: float, every_s: float) -> None:
    dice = random.Random(1)
    clock, at, seq = LogClock(0.0, 0.0), 0.0, 0
    while at < 7 * DAY_S:
        at += every_s
        seq += 1
        late = dice.expovariate(20)
        mono = (at + late) * (1 + drift)
        assert not clock.observe([(seq, at)], mono), "drift is no jump"
        wrong = clock.moment(mono).now - (at + late)
        assert -1 < wrong < abs(drift) * 2 * max(WINDOW_S, every_s) + 0.001


def test_after_a_quiet_week_the_first_fact_counts() -> None:
    clock = LogClock(0.0, 0.0)
    mono = 7 * DAY_S * (1 + 50e-6)
    assert clock.moment(mono).now - 7 * DAY_S == pytest.approx(30.24)
    assert not clock.observe([(1, 7 * DAY_S)], mono)
    assert clock.moment(mono).now == pytest.approx(7 * DAY_S)


def test_routes_that_are_told_drift_as_little() -> None:
    clock, now = LogClock(0.0, 0.0), 0.0
    for seq in range(1, 10_000):
        now += 60
        clock.told(seq, now, now * (1 + 50e-6))
    assert clock.moment(now * (1 + 50e-6)).now == pytest.approx(now, abs=0.05)


readings = st.lists(st.tuples(st.floats(0.001, 200), st.floats(0, JUMP_S * 0.9)), min_size=1)


@given(readings, st.floats(-100e-6, 100e-6))
def test_log_time_is_never_ahead_by_more_than_two_windows_of_drift(
    steps: list[tuple[float, float]], drift: float
) -> None:
    clock, at = LogClock(0.0, 0.0), 0.0
    for seq, (pause, late) in enumerate(steps, 1):
        at += pause
        mono = (at + late) * (1 + drift)
        assert not clock.observe([(seq, at)], mono)
        ahead = clock.moment(mono).now - (at + late)
        assert -late - 0.06 <= ahead <= 100e-6 * 2 * WINDOW_S + 100e-6 * 200


@given(readings, st.sampled_from([3600.0, -3600.0]))
def test_whatever_came_before_a_jump_is_told_as_one_and_moves_what_was_promised(
    steps: list[tuple[float, float]], jump: float
) -> None:
    clock, at, mono = LogClock(0.0, 0.0), 0.0, 0.0
    for seq, (pause, late) in enumerate(steps, 1):
        at += pause
        mono = at + late
        clock.observe([(seq, at)], mono)
    last = len(steps)
    mono += 3
    assert clock.observe([(last + 1, mono + jump)], mono)
    assert clock.moment(mono).now == pytest.approx(mono + jump)
    assert clock.moved(at, last) == pytest.approx(at + jump, abs=JUMP_S)


@pytest.mark.parametrize("shift", [3600.0, -3600.0, DAY_S, -DAY_S])
def test_a_wrong_clock_is_told_once_and_changes_no_log_time(shift: float) -> None:
    clock, told = ServerClock(), set[float]()
    for n in range(100):
        mono, jitter = 50.0 + n, n % 3 / 100
        clock.read(1e9 + n, mono - jitter, mono + jitter, wall=1e9 + n + jitter + shift)
        assert clock.now(mono) == pytest.approx(1e9 + n)
        told.add(clock.apart_s)
    assert len(told) == 1
    assert told.pop() == pytest.approx(shift)
    assert apart(shift) in {
        "its clock is 3,600 s ahead of the log's",
        "its clock is 3,600 s behind the log's",
        "its clock is 86,400 s ahead of the log's",
        "its clock is 86,400 s behind the log's",
    }
    clock.read(2e9, 200.0, 200.0, wall=2e9)
    assert clock.apart_s == 0.0


def test_a_clock_near_the_border_does_not_flap() -> None:
    clock, seen = ServerClock(), []
    for ahead in (4.5, 5.1, 4.5, 5.1, 3.9, 4.5):
        clock.read(1e9, 10.0, 10.0, wall=1e9 + ahead)
        seen.append(bool(clock.apart_s))
    assert seen == [False, True, True, True, False, False]


def test_a_slow_answer_says_nothing_of_a_clock_that_is_known() -> None:
    clock = ServerClock()
    clock.read(1e9, 10.0, 10.2, wall=1e9)
    known = clock.now(100.0)
    clock.read(1e9 + 30, 20.0, 50.0, wall=1e9)
    assert (clock.now(100.0), clock.apart_s) == (known, 0.0)
