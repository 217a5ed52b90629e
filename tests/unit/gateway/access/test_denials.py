"""Denials are thinned by address, user and reason, and none is lost from the count."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.people.denials import MOST_KEYS, WINDOW_S, Denial, Denials

HERE = Denial("unauthorized", "192.0.2.1")


def test_the_first_is_noted_and_the_same_again_is_counted_until_its_minute_is_over() -> None:
    denials = Denials()
    assert denials.add(HERE, 0.0)
    assert not denials.add(HERE, 1.0)
    assert not denials.add(HERE._replace(subject="GET /api/tasks"), 2.0)
    assert denials.due(WINDOW_S - 1) == []
    assert denials.due(WINDOW_S) == [(HERE._replace(subject="GET /api/tasks"), 2)]
    assert not denials.add(HERE, WINDOW_S + 1)
    assert denials.due(2 * WINDOW_S) == [(HERE, 1)]
    assert denials.due(3 * WINDOW_S) == []
    assert denials.add(HERE, 3 * WINDOW_S)


def test_others_are_told_apart() -> None:
    denials = Denials()
    others = (HERE._replace(address="192.0.2.2"), HERE._replace(user="bob"), Denial("forbidden"))
    assert all(denials.add(one, 0.0) for one in (HERE, *others))


def test_a_flood_from_everywhere_is_one_line_a_minute() -> None:
    denials = Denials()
    noted = sum(denials.add(HERE._replace(address=str(n)), 0.0) for n in range(3 * MOST_KEYS))
    assert noted == MOST_KEYS
    assert len(denials) == MOST_KEYS + 1
    assert denials.due(WINDOW_S) == [(Denial("unauthorized"), 2 * MOST_KEYS)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["unauthorized", "forbidden"]),
            st.sampled_from("abcde"),
            st.sampled_from([0.0, 1.0, 30.0, 61.0]),
            st.booleans(),
        )
    )
)
def test_every_denial_is_noted_or_counted_once(told: list[tuple[str, str, float, bool]]) -> None:
    denials, now, came, said = Denials(most=3), 0.0, Counter[str](), Counter[str]()
    for reason, address, later, look in told:
        now += later
        came[reason] += 1
        said[reason] += denials.add(Denial(reason, address), now)
        assert len(denials) <= 3 + 2
        for denial, count in denials.due(now) if look else ():
            said[denial.reason] += count
    for denial, count in denials.due(now + 2 * WINDOW_S):
        said[denial.reason] += count
    assert +said == came
