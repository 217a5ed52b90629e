"""When messages of outside publishers are taken that have to be moved to the object store.

Pure: the time comes with each question. A publisher may have many of them at once and then so many
bytes a second; the rest waits in the queue, each message until its own turn, and lets others by.
"""

from __future__ import annotations

from collections import OrderedDict

BURST_BYTES = 1_100 * 1024
"""Of one publisher, at once."""
BYTES_S = 2 * 1024 * 1024
"""Of one publisher, each second after that."""
MOST_PUBLISHERS, MOST_WAITING = 10_000, 20_000
"""What is remembered; the oldest is forgotten, and then takes a turn once more."""
EARLY_S = 0.05
"""A message that comes again a little before its turn has it."""


class Turns:
    """Whose turn it is, at one gateway."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Bytes that each publisher may still have, and as of when; below 0: they are promised."""
        self._turns: OrderedDict[int, float] = OrderedDict()
        """When the turn is of those that have to wait, by their sequence in the queue."""

    def wait_s(self, publisher: str, seq: int, size: int, now: float) -> float:
        """Seconds until a message may be taken, 0: now. It is asked about again when it is back."""
        turn = self._turns.pop(seq, None)
        if turn is None:
            turn = now + self._promise(publisher, size, now)
        if turn - now <= EARLY_S:
            return 0.0
        self._turns[seq] = turn
        if len(self._turns) > MOST_WAITING:
            self._turns.popitem(last=False)
        return turn - now

    def _promise(self, publisher: str, size: int, now: float) -> float:
        left, at = self._left.pop(publisher, (float(BURST_BYTES), now))
        left = min(BURST_BYTES, left + max(0.0, now - at) * BYTES_S) - size
        self._left[publisher] = left, now
        if len(self._left) > MOST_PUBLISHERS:
            self._left.popitem(last=False)
        return max(0.0, -left / BYTES_S)
