"""Log time, as far as this process can know it: never later than it really is.

Deadlines of tasks are log time, so a wrong clock of this machine expires nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

JUMP_S = 2.0
"""Differences up to this are delay or drift."""


class LogClock:
    """Learns from every moment of log time that is known to have passed.

    When the log's clock is set back, a fact older than its predecessor says so.
    """

    def __init__(self, mono: Callable[[], float] = time.monotonic) -> None:
        self._mono = mono
        self._offset = -math.inf
        self._seq = 0
        self._at = -math.inf
        """Time of the fact at `_seq`, the newest one observed."""
        self._route = (0, -math.inf)
        """Sequence and moment of the route that raised the clock most since."""
        self._since = 0
        """Sequence of the fact that set the clock back last."""

    def observe(self, seq: int, at: float) -> None:
        """Take note of a live fact; one that comes again or late changes nothing."""
        if seq <= self._seq:
            return
        if at < self._before(seq) - JUMP_S:
            self._offset = -math.inf
            self._since = seq
            self._route = (0, -math.inf)
        self._seq, self._at = seq, at
        self._raise(at)

    def told(self, seq: int, now: float) -> None:
        """Take note that log time was `now` when the route at `seq` was decided on."""
        if seq < self._since:
            return
        if now > self._route[1]:
            self._route = (seq, now)
        self._raise(now)

    def now(self) -> float:
        """Log time, seconds since the epoch; -inf before anything was observed."""
        return self._mono() + self._offset

    def _before(self, seq: int) -> float:
        """The latest moment known to be told before the fact at `seq`."""
        route, now = self._route
        return max(self._at, now) if route < seq else self._at

    def _raise(self, at: float) -> None:
        self._offset = max(self._offset, at - self._mono())
