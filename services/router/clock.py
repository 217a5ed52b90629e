"""Log time between facts: the log's clock where it was last read, plus monotonic time since.

Pure: both clocks are given. A clock that jumps moves the deadlines it was promised under with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

JUMP_S = 2.0
"""Differences up to this are delay or drift."""
_KEPT = 16


class Moment(NamedTuple):
    """One instant on both clocks, in seconds."""

    now: float
    """Log time."""
    mono: float


class LogClock:
    """Log time, told by the times of facts as they come in live."""

    def __init__(self, at: float, mono: float) -> None:
        """`at` is the log time of a fact that was appended at monotonic time `mono`."""
        self._offset = at - mono
        self._last = at
        self._jumps: list[tuple[int, float]] = []

    def moment(self, mono: float) -> Moment:
        """Return the instant at monotonic time `mono`."""
        return Moment(mono + self._offset, mono)

    def observe(self, facts: Sequence[tuple[int, float]], mono: float) -> bool:
        """Take note of sequences and times of live facts; True if the log's clock has jumped.

        Facts may come late, never early: one from the future, or one older than its predecessor,
        can only be a jump.
        """
        last = facts[-1][1]
        if not self._odd(last, mono):
            # A fact that looks early says by how much our own reckoning is late.
            self._offset = max(self._offset, last - mono)
            self._last = last
            return False
        jumped = False
        for seq, at in facts:
            if self._odd(at, mono):
                delta = at - (mono + self._offset)
                self._offset += delta
                self._jumps.append((seq, delta))
                jumped = True
            self._last = at
        while len(self._jumps) > _KEPT:
            (_, first), (second, delta) = self._jumps[:2]
            self._jumps[:2] = [(second, first + delta)]
        return jumped

    def _odd(self, at: float, mono: float) -> bool:
        return at > mono + self._offset + JUMP_S or at < self._last - JUMP_S

    def moved(self, at: float, seq: int) -> float:
        """Return what `at`, a time of the fact at `seq`, is on the clock as it stands now."""
        if not self._jumps:
            return at
        return at + sum(delta for jump, delta in self._jumps if seq < jump)
