"""Lets each permit pass once, in memory. To copy as well, beside permit.py."""

from __future__ import annotations

import heapq

import permit

FORGET_S = 60.0
"""Spent permits are remembered this long beyond their end: clocks differ."""


class ReplayGuard:
    """Lets each permit pass once. In memory: a restart forgets, so pair it with storage of yours
    when running a task twice would do harm."""

    def __init__(self, limit: int = 100_000) -> None:
        """At most `limit` permits are remembered; more are refused rather than forgotten."""
        self._limit = limit
        self._seen: set[tuple[str, str]] = set()
        self._ends: list[tuple[float, tuple[str, str]]] = []

    def admit(self, claims: permit.Claims, now: float) -> None:
        """Note that this permit is used now. Raises PermitError if it was used before."""
        while self._ends and self._ends[0][0] <= now:
            self._seen.remove(heapq.heappop(self._ends)[1])
        name = (claims.sub, claims.jti)
        if name in self._seen:
            raise permit.PermitError("replayed", f"the permit {claims.jti} has been used")
        if len(self._seen) >= self._limit:
            raise permit.PermitError("full", f"{self._limit} permits are in use; try again later")
        self._seen.add(name)
        heapq.heappush(self._ends, (claims.exp + FORGET_S, name))
