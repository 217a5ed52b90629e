"""Log time between facts: the log's clock where it was last read, plus monotonic time since.

Pure: both clocks are given. A clock that jumps moves the deadlines it was promised under with it.
`LogClock` reads it off facts, for the router and its likes; `ServerClock` asks the server for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

JUMP_S = 2.0
"""Differences up to this are delay or drift."""
WINDOW_S = 300.0
"""For so long, at most twice as long, a reading counts: at 50 millionths of drift that is 30 ms."""
_KEPT = 16
APART_S = 5.0
"""A machine's clock that differs by more than this from the log's is worth a warning …"""
AGREED_S = 4.0
"""… which is over at this difference."""
SLOW_S = 2.0
"""An answer that took longer says too little of the server's clock."""


class Moment(NamedTuple):
    """One instant on both clocks, in seconds."""

    now: float
    """Log time; -inf before anything was read."""
    mono: float


class LogClock:
    """Log time, told by the times of facts as they come in live.

    A reading comes late, never early, so the one that took least time says best how far the clocks
    are apart; clocks drift, so only those of a sliding window are asked.
    """

    def __init__(self, at: float = -math.inf, mono: float = 0.0) -> None:
        """`at` is the log time of a fact that was appended at monotonic time `mono`, if any is
        known."""
        self._offset = at - mono
        """Log time less monotonic time, by the best reading of the window that goes on."""
        self._before = -math.inf
        """The same of the window before."""
        self._began = self._read = mono
        """When the window began, and its newest reading."""
        self._seq = 0
        self._at = at
        """Time of the fact at `_seq`, the newest one observed."""
        self._route = (0, -math.inf)
        """Sequence and moment of the route that was told and is the latest one."""
        self._since = 0
        """Sequence of the fact at which the clock jumped last."""
        self._jumps: list[tuple[int, float]] = []

    def moment(self, mono: float) -> Moment:
        """Return the instant at monotonic time `mono`."""
        return Moment(mono + max(self._offset, self._before), mono)

    def observe(self, facts: Sequence[tuple[int, float]], mono: float) -> bool:
        """Take note of sequences and times of live facts; True if the log's clock has jumped.

        They are in order. One that is from the future, or older than its predecessor, can only be
        a jump. Those that come again change nothing.
        """
        seq, at = facts[-1] if facts else (0, 0.0)
        if seq <= self._seq:
            return False
        if not self._odd(seq, at, mono):
            self._take(at, mono)
            self._seq, self._at = seq, at
            return False
        jumped = False
        for seq, at in facts:
            if seq <= self._seq:
                continue
            if self._odd(seq, at, mono):
                self._jump(seq, at, mono)
                jumped = True
            self._seq, self._at = seq, at
        while len(self._jumps) > _KEPT:
            (_, first), (second, delta) = self._jumps[:2]
            self._jumps[:2] = [(second, first + delta)]
        return jumped

    def told(self, seq: int, now: float, mono: float) -> None:
        """Take note that log time was `now` when the route at `seq` was decided on."""
        if seq < self._since:
            return
        if now > self._route[1]:
            self._route = (seq, now)
        self._take(now, mono)

    def moved(self, at: float, seq: int) -> float:
        """Return what `at`, a time of the fact at `seq`, is on the clock as it stands now."""
        if not self._jumps:
            return at
        return at + sum(delta for jump, delta in self._jumps if seq < jump)

    def _odd(self, seq: int, at: float, mono: float) -> bool:
        route, told = self._route
        latest = max(self._at, told) if route < seq else self._at
        # The first reading of all can't be odd.
        early = math.isfinite(self._at) and at > self.moment(mono).now + JUMP_S
        return early or at < latest - JUMP_S

    def _jump(self, seq: int, at: float, mono: float) -> None:
        self._jumps.append((seq, at - self.moment(mono).now))
        self._offset, self._before = at - mono, -math.inf
        self._began = self._read = mono
        self._since, self._route = seq, (0, -math.inf)

    def _take(self, at: float, mono: float) -> None:
        if mono - self._began >= WINDOW_S:
            # What is older than a window that went by without a reading says nothing any more.
            self._before = self._offset if mono - self._read < WINDOW_S else -math.inf
            self._offset, self._began = -math.inf, mono
        self._read = mono
        self._offset = max(self._offset, at - mono)


class ServerClock:
    """Log time by what the server says of its clock now and then, beside this machine's clock."""

    def __init__(self) -> None:
        self._offset = -math.inf
        """Server time less monotonic time."""
        self.apart_s = 0.0
        """How far this machine's clock is ahead of the log's; 0 unless that is worth a warning."""

    def now(self, mono: float) -> float:
        """Return log time at monotonic time `mono`; -inf before anything was read."""
        return mono + self._offset

    def read(self, at: float, sent: float, got: float, wall: float) -> None:
        """Take the server's time `at`, of some moment between the monotonic times of question and
        answer; `wall`: this machine's clock at the answer."""
        slow = (got - sent) / 2
        if slow > SLOW_S / 2 and math.isfinite(self._offset):
            return
        self._offset = at - (sent + slow)
        ahead = wall - self.now(got)
        if abs(ahead) - slow > APART_S:
            # What jitters by less than a second is told once.
            if abs(ahead - self.apart_s) > 1.0:
                self.apart_s = ahead
        elif abs(ahead) <= AGREED_S:
            self.apart_s = 0.0


def apart(seconds: float) -> str:
    """Say how wrong a machine's clock is that is so many seconds ahead of the log's."""
    way = "ahead of" if seconds > 0 else "behind"
    return f"its clock is {abs(seconds):,.0f} s {way} the log's"
