"""The wait before the next try grows to its limit, and never beyond."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.process.backoff import delay


def test_the_wait_doubles_from_the_first_to_the_most() -> None:
    assert [delay(n, 0.1, 1.0, 1.0) for n in range(1, 6)] == [0.1, 0.2, 0.4, 0.8, 1.0]
    assert delay(1, 0.1, 1.0, 0.0) == 0.05


@given(st.integers(0, 10**9), st.floats(0.001, 10), st.floats(10, 1000), st.floats(0, 1))
def test_the_wait_is_at_least_half_and_at_most_the_limit(
    n: int, first: float, most: float, jitter: float
) -> None:
    assert first / 2 <= delay(n, first, most, jitter) <= most
    assert delay(n, first, most, jitter) <= delay(n + 1, first, most, jitter)
