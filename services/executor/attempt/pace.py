"""Which reports of progress are passed on: a few at once, then ten a second, and the end always.

Pure.
"""

from __future__ import annotations

PROGRESS_S = 0.1
"""Time between two reports of a host that says much."""
AT_ONCE = 5
"""Reports that may come together: short work has said all by then."""


class ReportPace:
    """The pace of one attempt's progress."""

    __slots__ = ("_at", "_ended", "_room")

    def __init__(self) -> None:
        self._room = float(AT_ONCE)
        self._at = 0.0
        self._ended = False

    def lets(self, now: float, progress: float, total: float | None) -> bool:
        """Whether this report is passed on; `now` is monotonic.

        The first that says that all is done always is; a host may say that again and again.
        """
        self._room = min(float(AT_ONCE), self._room + (now - self._at) / PROGRESS_S)
        self._at = now
        ended = progress == total and not self._ended
        if self._room < 1 and not ended:
            return False
        self._room = max(0.0, self._room - 1)
        self._ended |= ended
        return True
