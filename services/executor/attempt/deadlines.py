"""Interrupts attempts whose time is up: one timer for all that run, set to the first deadline.

A timer of its own for each attempt costs more than everything else that is done about its limit.
"""

from __future__ import annotations

import asyncio
import math
import time

from services.executor.attempt.attempt import Attempt


class Deadlines:
    """The attempts that run under their limit."""

    def __init__(self) -> None:
        self._running: set[Attempt] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings = math.inf
        """Monotonic time at which the timer rings: at the first deadline, or before it."""

    def watch(self, attempt: Attempt) -> None:
        """Have the attempt interrupted at its deadline, unless it is let go before."""
        self._running.add(attempt)
        if attempt.deadline < self._rings:
            self._set(attempt.deadline)

    def release(self, attempt: Attempt) -> None:
        """Its limit does not matter any more. The timer stays: it asks who is left."""
        self._running.discard(attempt)

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = when
        self._timer = asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        # A loop's timer may ring a little before its time.
        now = max(self._rings, time.monotonic())
        self._timer, self._rings = None, math.inf
        for attempt in [one for one in self._running if one.deadline <= now]:
            self._running.discard(attempt)
            attempt.expire()
        if self._running:
            self._set(min(one.deadline for one in self._running))
