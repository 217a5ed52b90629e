"""Guessing passwords gets slower and slower, and locks nobody out who comes from elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.people import throttle
from services.gateway.people.throttle import (
    ADDRESS_FREE,
    ADDRESS_MOST_S,
    ATTACKED,
    FORGET_S,
    PAIR_FREE,
    PAIR_MOST_S,
    Failures,
    Throttle,
    wait_s,
)


def test_after_some_tries_each_wait_is_twice_the_one_before() -> None:
    one, now, waits = Throttle(), 0.0, []
    while len(waits) < 12:
        if (wait := one.try_("ann", "192.0.2.1", now)) > 0:
            waits.append(wait)
            now += wait
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert waits[-1] == PAIR_MOST_S


def test_the_right_password_is_no_failure() -> None:
    one = Throttle()
    for _ in range(100):
        assert one.try_("ann", "192.0.2.1", 0.0) == 0
        one.forgive("ann", "192.0.2.1", 0.0)
    assert one.counted == 0


def test_tries_under_way_count_before_they_have_failed() -> None:
    one = Throttle()
    passed = [one.try_("ann", "192.0.2.1", 0.0) == 0 for _ in range(50)]
    assert sum(passed) == PAIR_FREE


def test_nobody_is_locked_out_by_somebody_elsewhere() -> None:
    one = Throttle()
    for n in range(10 * ATTACKED):
        one.try_("ann", f"198.51.100.{n % 250}", float(n) / 100)
    assert one.try_("ann", "192.0.2.1", 5.0) == 0
    # Under attack a new address has one try, not five.
    assert one.try_("ann", "192.0.2.1", 5.0) > 0


def test_an_address_that_tries_many_accounts_waits_too_but_not_long() -> None:
    one = Throttle()
    passed = [one.try_(f"user{n}", "192.0.2.1", 0.0) == 0 for n in range(1000)]
    assert sum(passed) == ADDRESS_FREE
    assert 0 < one.try_("ann", "192.0.2.1", 0.0) <= ADDRESS_MOST_S
    assert one.try_("ann", "192.0.2.2", 0.0) == 0


def test_an_hour_later_all_is_forgotten() -> None:
    one = Throttle()
    while one.try_("ann", "192.0.2.1", 0.0) == 0:
        pass
    assert one.try_("ann", "192.0.2.1", FORGET_S) == 0


def test_what_nobody_knows_does_not_count() -> None:
    one = Throttle()
    for _ in range(100):
        assert one.try_("ann", "192.0.2.1", 0.0) == 0
        one.undecided("ann", "192.0.2.1", 0.0)


def test_it_remembers_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_COUNTED", 100)
    one = Throttle()
    for n in range(1000):
        one.try_(f"user{n}", f"address{n}", 0.0)
    assert one.counted == 100


failures = st.builds(Failures, st.integers(0, 20_000), st.floats(0, 1e6))


@given(failures, failures, failures, st.floats(0, 2e6))
def test_a_wait_has_an_end(
    pair: Failures, account: Failures, address: Failures, now: float
) -> None:
    found = wait_s(pair, account, address, now)
    assert 0 <= found <= PAIR_MOST_S
    later = max(now, pair.last, address.last) + PAIR_MOST_S
    assert wait_s(pair, account, address, later) == 0
    assert wait_s(Failures(0, 0.0), account, Failures(0, 0.0), now) == 0
