"""How much time of the processor workers may take, by owner: what a sliding minute holds.

Pure. It outlives the workers, so whose worker was ended for it does not get a new one at once.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 60.0
MOST_CPU_S = 20.0
"""Seconds of the processor in one window."""
MOST_OWNERS = 10_000
"""Owners remembered; who has used something longest ago is forgotten first."""


class CpuBudget:
    """Seconds of the processor by owner."""

    def __init__(self, most_s: float = MOST_CPU_S, window_s: float = WINDOW_S) -> None:
        self._most_s = most_s
        self._window_s = window_s
        self._spent: dict[str, deque[tuple[float, float]]] = {}

    def spend(self, owner: str, seconds: float, now: float) -> None:
        """Note what a worker of this owner has used since the last note."""
        if seconds <= 0:
            return
        spent = self._spent.pop(owner, None) or deque()
        self._spent[owner] = spent
        spent.append((now, seconds))
        if len(self._spent) > MOST_OWNERS:
            del self._spent[next(iter(self._spent))]

    def wait_s(self, owner: str, now: float) -> float:
        """Seconds until this owner is within the budget again; 0: it is."""
        spent = self._spent.get(owner)
        if spent is None:
            return 0.0
        while spent and spent[0][0] <= now - self._window_s:
            spent.popleft()
        over = sum(seconds for _, seconds in spent) - self._most_s
        wait = 0.0
        for at, seconds in spent:
            if over <= 0:
                break
            over -= seconds
            wait = at + self._window_s - now
        return wait
