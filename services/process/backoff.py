"""How long to wait before trying again. Pure: the dice are the caller's."""

from __future__ import annotations

MOST_DOUBLINGS = 32
"""More of them and a float may overflow; nobody waits that long."""


def delay(n: int, first_s: float, most_s: float, jitter: float) -> float:
    """Seconds to wait after the `n`th failure in a row, counted from 1: doubling from `first_s`
    to `most_s`.

    `jitter` is from 0 to 1, as `random.random()` gives it: 0 halves the time, 1 leaves it whole.
    """
    doublings = min(max(n - 1, 0), MOST_DOUBLINGS)
    return min(most_s, first_s * 2.0**doublings) * (0.5 + jitter / 2)
