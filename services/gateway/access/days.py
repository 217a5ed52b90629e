"""Tasks of the last 24 hours, from counts by the hour.

No clock, and no moments kept: within the oldest hour that counts, tasks are taken as spread evenly.
"""

from __future__ import annotations

from contracts.budget import HOUR_S

HOURS = 24


class RollingDay:
    """What one user has counted of each hour. Hours are those of the clock, since the epoch."""

    __slots__ = ("_hours", "newest")

    def __init__(self) -> None:
        self._hours: dict[int, int] = {}
        self.newest = 0

    def count(self, hour: int, more: int = 1) -> None:
        """Count in an hour, in whatever order they come; what is a day older than the newest does
        not count any more."""
        if hour > self.newest:
            self.newest = hour
            for old in [one for one in self._hours if one < hour - HOURS]:
                del self._hours[old]
        if more and hour >= self.newest - HOURS:
            self._hours[hour] = self._hours.get(hour, 0) + more

    def used(self, now: float) -> float:
        """How many there are in the 24 hours before `now`."""
        whole, oldest = self._parts(int(now // HOUR_S))
        return whole + oldest * (1 - now % HOUR_S / HOUR_S)

    def wait_s(self, now: float, most: int, coming: int = 0) -> float:
        """Seconds until there are fewer than `most`, if no more come; `coming` count from now on.

        `most` is at least 1.
        """
        here = int(now // HOUR_S)
        for hour in range(here, here + HOURS + 2):
            whole, oldest = self._parts(hour)
            whole += coming if hour < here + HOURS else 0
            oldest += coming if hour == here + HOURS else 0
            begins = max(0.0, hour * HOUR_S - now)
            if whole + oldest * (1 - (now + begins) % HOUR_S / HOUR_S) < most:
                return begins
            if whole < most:
                passed = 1 - (most - whole) / oldest
                return max(begins, (hour + passed) * HOUR_S - now)
        return (here + HOURS + 1) * HOUR_S - now

    def _parts(self, hour: int) -> tuple[int, int]:
        """What counts whole at some time in this hour, and what counts less and less."""
        whole = sum(count for one, count in self._hours.items() if one > hour - HOURS)
        return whole, self._hours.get(hour - HOURS, 0)
