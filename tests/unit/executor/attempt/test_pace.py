"""Short work has all its progress passed on, long work about ten reports a second, and its end."""

from __future__ import annotations

import itertools

import pytest

from services.executor.attempt.pace import AT_ONCE, PROGRESS_S, ReportPace


def test_short_work_is_told_whole() -> None:
    pace = ReportPace()
    assert [pace.lets(1000.0, n, 100.0) for n in (0, 50, 100)] == [True] * 3


def test_a_host_that_says_much_is_heard_ten_times_a_second_and_at_its_end() -> None:
    pace, steps = ReportPace(), 1000
    passed = [n for n in range(steps + 1) if pace.lets(1000.0 + n * 0.001, n, steps)]
    assert passed[0] == 0
    assert passed[-1] == steps
    assert max(b - a for a, b in itertools.pairwise(passed)) * 0.001 <= PROGRESS_S * 1.05
    assert len(passed) <= AT_ONCE + 1 / PROGRESS_S + 2


def test_an_end_that_is_said_again_and_again_is_progress_like_any_other() -> None:
    pace = ReportPace()
    passed = [pace.lets(1000.0, n, n) for n in range(100)]
    assert sum(passed) <= AT_ONCE + 1


@pytest.mark.parametrize("every_s", [0.001, 0.03, 0.09, 0.1, 0.25])
@pytest.mark.parametrize("began", [0.0, 1000.0])
def test_the_first_the_last_and_one_in_every_tenth_of_a_second_are_told(
    every_s: float, began: float
) -> None:
    pace, steps = ReportPace(), 400
    at = [began + n * every_s for n in range(steps + 1)]
    told = [t for n, t in enumerate(at) if pace.lets(t, n, steps)]
    assert (told[0], told[-1]) == (at[0], at[-1])
    gaps = [b - a for a, b in itertools.pairwise(told)]
    assert max(gaps) <= PROGRESS_S + every_s + 1e-9
    assert every_s < PROGRESS_S or told == at
