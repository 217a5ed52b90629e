"""How much a server may say beside its answers: comments, empty lines, notifications, requests.

A budget that fills again with time, so that a long call may report for days and none may flood.
"""

from __future__ import annotations

from typing import NamedTuple


class Allowance(NamedTuple):
    """So much at once, and so much a second for ever."""

    burst: float
    rate: float


LINES = Allowance(10_000, 1_000)
"""Lines that are no data, in one answer."""
BYTES = Allowance(1024 * 1024, 64 * 1024)
"""Of those lines."""
MESSAGES = Allowance(2_000, 200)
"""Messages before the answer."""
MESSAGE_BYTES = Allowance(32 * 1024 * 1024, 1024 * 1024)
"""Of those messages."""
REQUESTS = Allowance(300, 10)
"""Requests of the server to us, each of which is answered."""
STREAMS = Allowance(30, 1)
"""Streams that a server has us open again in one session."""
PROGRAM = 16
"""A program has so many times as much: one line carries the answers of many calls."""
TOO_MUCH = "the server sends too much beside its answers"


class TokenBucket:
    """What is left of one allowance."""

    __slots__ = ("_allowance", "_at", "_left")

    def __init__(self, allowance: Allowance, now: float) -> None:
        self._allowance = allowance
        self._left = allowance.burst
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        """Whether so much may be taken; if not, it is over."""
        self._left = self._room(now) - amount
        self._at = now
        return self._left >= 0

    def fits(self, amount: float, now: float) -> bool:
        """Whether so much could be taken."""
        return self._room(now) >= amount

    def _room(self, now: float) -> float:
        burst, rate = self._allowance
        return min(burst, self._left + (now - self._at) * rate)


class Noise:
    """What one server says beside its answers, noted as it comes and judged now and then."""

    __slots__ = ("_buckets", "_flooded", "_taken")

    def __init__(self, now: float, times: int = 1) -> None:
        """`times`: so many times the allowances of one answer."""
        kinds = (LINES, BYTES, MESSAGES, MESSAGE_BYTES, REQUESTS)
        scaled = [Allowance(kind.burst * times, kind.rate * times) for kind in kinds]
        self._buckets = [TokenBucket(kind, now) for kind in scaled]
        self._taken = [0, 0, 0, 0, 0]
        self._flooded = False
        """A request was not handed on: nobody will answer it."""

    def line(self, size: int) -> None:
        """A line that is no data."""
        self._taken[0] += 1
        self._taken[1] += size

    def message(self, size: int) -> None:
        """A message that is no answer."""
        self._taken[2] += 1
        self._taken[3] += size

    def request(self, now: float) -> bool:
        """One of them is a request; whether it may be handed on. Each is answered, so that those
        that have come together are not judged together."""
        self._taken[4] += 1
        fits = self._buckets[4].fits(self._taken[4], now)
        self._flooded = self._flooded or not fits
        return fits

    def over(self, now: float) -> bool:
        """Whether all that was noted is too much."""
        taken, self._taken = self._taken, [0, 0, 0, 0, 0]
        fits = [budget.take(n, now) for budget, n in zip(self._buckets, taken, strict=True)]
        return self._flooded or not all(fits)
