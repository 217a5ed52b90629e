"""Tasks of a rolling day: what is counted, when there is room again, and what a restart changes."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.budget import HOUR_S
from services.gateway.access.days import HOURS, RollingDay

DAY_S = HOURS * HOUR_S
START = 500_000 * HOUR_S

moments = st.lists(
    st.integers(0, int(2.5 * DAY_S)).map(lambda s: START + s), min_size=1, max_size=60
)


def day_of(made: list[float]) -> RollingDay:
    day = RollingDay()
    for at in made:
        day.count(int(at // HOUR_S))
    return day


@given(moments, st.integers(0, int(DAY_S)))
def test_the_count_is_between_those_of_23_and_25_hours(made: list[float], later: int) -> None:
    now = max(made) + later
    used = day_of(made).used(now)
    hour = now // HOUR_S
    least = sum(at // HOUR_S > hour - HOURS for at in made)
    most = sum(at // HOUR_S >= hour - HOURS for at in made)
    assert least <= used <= most


@given(moments, st.integers(0, HOURS))
def test_on_the_hour_it_is_exact(made: list[float], later: int) -> None:
    now = (max(made) // HOUR_S + 1 + later) * HOUR_S
    assert day_of(made).used(now) == sum(at >= now - DAY_S for at in made)


@given(moments, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(made: list[float], random: object) -> None:
    mixed = list(made)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    now = max(made)
    assert day_of(mixed).used(now) == day_of(made).used(now)


@given(moments, st.integers(1, 20), st.integers(0, int(DAY_S)), st.integers(0, 5))
def test_after_the_wait_there_is_room_and_before_there_is_none(
    made: list[float], most: int, later: int, coming: int
) -> None:
    day, now = day_of(made), max(made) + later
    assume(day.used(now) + coming >= most)
    wait_s = day.wait_s(now, most, coming)
    assert 0 <= wait_s <= DAY_S + HOUR_S
    landed = day_of(made)
    if coming:
        landed.count(int(now // HOUR_S), coming)
    assert landed.used(now + wait_s + 1) < most
    if wait_s > 1:
        assert landed.used(now + wait_s - 1) >= most - 1e-6


@given(moments, st.integers(1, 20))
def test_of_those_who_are_let_in_no_more_than_so_many_are_in_24_hours_on_the_clock(
    asked: list[float], most: int
) -> None:
    day, let = RollingDay(), list[float]()
    for at in sorted(asked):
        if day.used(at) < most:
            day.count(int(at // HOUR_S))
            let.append(at)
    for hour in {int(at // HOUR_S) for at in let}:
        assert sum(hour - HOURS < at // HOUR_S <= hour for at in let) <= most


def test_what_is_two_days_old_is_forgotten() -> None:
    day = day_of([START + n * HOUR_S for n in range(100)])
    assert len(day._hours) == HOURS + 1
    assert day.used(START + 99 * HOUR_S) == HOURS + 1
    assert day.used(START + 300 * HOUR_S) == 0
