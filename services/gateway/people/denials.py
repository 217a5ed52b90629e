"""Denials, thinned: one that comes again and again is noted once a minute, with its count.

Pure: whoever tells of one says what time it is.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

WINDOW_S = 60.0
MOST_KEYS = 1_000
"""Denials that are told apart in a minute; whatever else comes counts as from everywhere."""


class Denial(NamedTuple):
    """Somebody was kept out; the names are those of `AccessEvent`."""

    reason: str
    address: str = ""
    user: str = ""
    subject: str = ""
    """What was asked for."""
    method: str = ""
    asked_by: str = ""
    request_id: str = ""
    missing: str = ""
    """What they would have needed, if that is one thing: a scope, a role."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What counts as the same."""
        return self.address, self.user, self.reason


class _Window:
    __slots__ = ("began", "count", "last")

    def __init__(self, began: float, last: Denial) -> None:
        self.began = began
        self.last = last
        self.count = 0


class Denials:
    """Counts them by address, user and reason."""

    def __init__(self, most: int = MOST_KEYS, window_s: float = WINDOW_S) -> None:
        self._most = most
        self._window_s = window_s
        self._windows: OrderedDict[tuple[str, str, str], _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, denial: Denial, now: float) -> bool:
        """Take one in; True: it is the first of its kind, and noted now. `due` tells of others."""
        first = denial.key not in self._windows
        if first and len(self._windows) < self._most:
            self._windows[denial.key] = _Window(now, denial)
            return True
        if first:
            denial = Denial(denial.reason)
        window = self._windows.setdefault(denial.key, _Window(now, denial))
        window.count += 1
        window.last = denial
        return False

    def due(self, now: float) -> list[tuple[Denial, int]]:
        """The denials whose minute is over, each with how many there were that were not noted."""
        over: list[tuple[Denial, int]] = []
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.began + self._window_s > now:
                break
            del self._windows[key]
            if window.count:
                over.append((window.last, window.count))
                window.began, window.count = now, 0
                self._windows[key] = window
        return over
