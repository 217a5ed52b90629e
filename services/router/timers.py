"""At most one alarm for each key, in one heap that is tidied as it goes. Pure."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

_ROOM = 1024


class Timers:
    """Alarms by key; an early one is harmless, for whoever is woken looks again."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        """Count the keys that have an alarm."""
        return len(self._at)

    def set(self, key: str, at: float) -> None:
        """Wake the key at `at`, or at the earlier time that is set already."""
        known = self._at.get(key)
        if known is None or at < known:
            self._at[key] = at
            heappush(self._heap, (at, key))
            if len(self._heap) > 2 * len(self._at) + _ROOM:
                self._heap = [(at, key) for key, at in self._at.items()]
                heapify(self._heap)

    def clear(self, key: str) -> None:
        """Forget the key's alarm, if there is one."""
        if self._at.pop(key, None) is not None and not self._at:
            self._heap.clear()

    def first(self) -> float | None:
        """Return the time of the next alarm, or of one before it that was cleared."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[str]:
        """Take out every key whose alarm is at or before `now`."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, key = heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                found.append(key)
        return found
