"""Places for sessions: a bounded number at once. Who rests makes way for who wants to come in.

Nobody waits for a place while he holds what others wait for, but in one order: first the host's
places, then the user's, then all processes'. So somebody can always go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol
from weakref import WeakValueDictionary

RESERVE = 8
"""Of all processes, one in so many is left to other users by whoever has most."""


class Guest(Protocol):
    """Whoever has places."""

    def leave(self) -> None:
        """Go: every place is given back soon."""


class Berths:
    """So many places."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._waiting = 0
        self._resting: dict[Guest, None] = {}
        """Longest first."""
        self._leaving: set[Guest] = set()

    @property
    def full(self) -> bool:
        """Whether whoever comes now has to wait, or somebody to leave."""
        return self._free.locked()

    async def take(self) -> None:
        """Take a place; at the limit the one that has rested longest leaves, or it is waited."""
        self._waiting += 1
        if self._free.locked():
            self._make_way()
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    def give(self, guest: Guest) -> None:
        """Give the place back."""
        self._resting.pop(guest, None)
        self._leaving.discard(guest)
        self._free.release()

    def rest(self, guest: Guest) -> None:
        """The guest has nothing to do, and may be asked to leave, if it has not been elsewhere."""
        if guest not in self._leaving:
            self._resting[guest] = None
            self._make_way()

    def work(self, guest: Guest) -> None:
        """The guest rests no longer."""
        self._resting.pop(guest, None)

    def leave(self, guest: Guest) -> None:
        """The guest is on its way out."""
        self._resting.pop(guest, None)
        self._leaving.add(guest)

    def _make_way(self) -> None:
        while self._resting and self._waiting > len(self._leaving):
            guest = next(iter(self._resting))
            self.leave(guest)
            guest.leave()


class Processes:
    """The places of all processes of hosts, of which no user gets every one."""

    def __init__(self, most: int) -> None:
        self._each = max(1, most - max(1, most // RESERVE))
        self._all = Berths(most)
        self._users: WeakValueDictionary[str, Berths] = WeakValueDictionary()
        """For as long as anybody has places in it, or wants one."""

    @property
    def full(self) -> bool:
        """Whether there is no place that nobody has to leave for."""
        return self._all.full

    def of(self, user: str) -> tuple[Berths, ...]:
        """The places to take for a process that works for this user; empty: for everybody."""
        if not user:
            return (self._all,)
        berths = self._users.get(user)
        if berths is None:
            berths = self._users[user] = Berths(self._each)
        return berths, self._all


async def board(places: Iterable[Berths], guest: Guest) -> None:
    """Take a place in each, in this order; all or none."""
    taken: list[Berths] = []
    try:
        for berths in places:
            await berths.take()
            taken.append(berths)
    except BaseException:
        for berths in taken:
            berths.give(guest)
        raise
