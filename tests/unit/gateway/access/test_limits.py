"""Request limits of several gateways: what each counts, the others reckon with."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access import limits
from services.gateway.access.address import counted
from services.gateway.access.identity import Principal
from services.gateway.access.limits import RateLimit, Report, short
from services.store.kv import MOST_VALUE

ALICE = Principal("alice", frozenset())
KEY = short("user alice")


class Clock:
    """The time, as the test says."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def exchange(gateways: list[RateLimit]) -> None:
    for number, one in enumerate(gateways):
        for report in one.reports(f"g{number}"):
            for other in gateways:
                if other is not one:
                    other.hear(report)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 2)), max_size=60), st.integers(1, 5))
def test_gateways_that_tell_each_other_at_once_are_as_strict_as_one(
    steps: list[tuple[float, int]], most: int
) -> None:
    clock = Clock()
    several = [RateLimit(most, 10.0, clock) for _ in range(3)]
    alone = RateLimit(most, 10.0, clock)
    for step, which in steps:
        clock.now += step
        assert several[which].over(ALICE, None) == pytest.approx(alone.over(ALICE, None))
        exchange(several)


@given(st.lists(st.floats(0, 15), min_size=1, max_size=40), st.integers(1, 5))
def test_whoever_waits_as_long_as_he_is_told_gets_through(steps: list[float], most: int) -> None:
    clock = Clock()
    limit = RateLimit(most, 10.0, clock)
    for step in steps:
        clock.now += step
        wait = limit.over(ALICE, None)
        if wait:
            clock.now += wait * 0.99
            assert limit.over(ALICE, None) > 0, "it would have been sooner"
            clock.now += wait * 0.01 + 1e-6
            assert limit.over(ALICE, None) == 0


@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 1), st.booleans()), max_size=80),
    st.integers(1, 5),
)
def test_a_gateway_lets_nothing_through_but_what_it_has_not_been_told_of(
    steps: list[tuple[float, int, bool]], most: int
) -> None:
    clock = Clock()
    both = [RateLimit(most, 10.0, clock) for _ in range(2)]
    passed: Counter[int] = Counter()
    unsaid: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
    for step, which, tell in steps:
        clock.now += step
        window = int(clock.now / 10)
        if not both[which].over(ALICE, None):
            assert passed[window] - unsaid[1 - which][window] < most
            passed[window] += 1
            unsaid[which][window] += 1
        if tell:
            exchange(both)
            for counts in unsaid:
                counts.clear()


def test_one_gateway_alone_is_not_changed_by_saying_what_it_counts() -> None:
    clock = Clock()
    quiet, telling = RateLimit(3, 10.0, clock), RateLimit(3, 10.0, clock)
    for _ in range(20):
        clock.now += 1.7
        telling.reports("g")
        assert quiet.over(ALICE, None) == telling.over(ALICE, None)


def test_a_report_heard_twice_or_late_counts_once() -> None:
    clock = Clock()
    limit = RateLimit(5, 10.0, clock)
    window = int(clock.now / 10)
    for count in (4, 4, 2):
        limit.hear(Report("other", window, {KEY: count}))
    assert not limit.over(ALICE, None)
    assert limit.over(ALICE, None)


def test_reports_of_other_times_are_not_kept() -> None:
    clock = Clock()
    limit = RateLimit(5, 10.0, clock)
    window = int(clock.now / 10)
    for other in (window - 2, window + 2, 0, -(10**12)):
        limit.hear(Report("other", other, {KEY: 100}))
    assert not limit.over(ALICE, None)


def test_what_is_said_is_what_has_changed() -> None:
    clock = Clock()
    limit = RateLimit(5, 10.0, clock)
    window = int(clock.now / 10)
    limit.over(ALICE, None)
    limit.over(None, ("1.2.3.4", 1))
    (report,) = limit.reports("g")
    assert report == Report("g", window, {KEY: 1, short("address 1.2.3.4"): 1})
    assert b"alice" not in msgspec.json.encode(report)
    assert limit.reports("g") == []
    limit.over(ALICE, None)
    clock.now += 10
    limit.over(ALICE, None)
    # The end of the window that is over is said as well.
    assert limit.reports("g") == [Report("g", window, {KEY: 2}), Report("g", window + 1, {KEY: 1})]


def test_reports_fit_into_a_value() -> None:
    limit = RateLimit(10**9, 10.0, Clock())
    for number in range(2500):
        limit.over(None, (f"address-{number}", 1))
    every = limit.reports("0198c0de-0000-7000-8000-000000000000")
    assert sum(len(report.counts) for report in every) == 2500
    big = msgspec.structs.replace(every[0], counts=dict.fromkeys(every[0].counts, 10**9))
    assert len(msgspec.json.encode(big)) < MOST_VALUE


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_KEYS", 10)
    monkeypatch.setattr(limits, "MOST_GATEWAYS", 3)
    clock = Clock()
    limit = RateLimit(5, 10.0, clock)
    window = int(clock.now / 10)
    limit.hear(Report("g0", window, {f"k{n}": 1 for n in range(8)} | {KEY: 1}))
    for number in range(1, 50):
        limit.over(None, (str(number), 1))
        limit.hear(Report(f"g{number}", window, {f"x{number}": 1, KEY: 1}))
    assert sum(len(report.counts) for report in limit.reports("g")) == 10
    # Three others count one request each; so two are left.
    assert [bool(limit.over(ALICE, None)) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("x" * 5000, "x" * 64),
        ("", ""),
    ],
)
def test_an_address_counts_as_whoever_has_it(address: str, counts_as: str) -> None:
    assert counted(address) == counts_as
