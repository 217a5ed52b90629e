"""What the filters have said of each demand, until a host changes. Pure."""

from __future__ import annotations

from services.router.select import Demand, Screen, screen
from services.router.state import State

MOST = 10_000
"""Demands that are kept."""


class Screens:
    """`clear` them whenever a host has changed."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._known: dict[Demand, Screen] = {}

    def of(self, wanted: Demand) -> Screen:
        """The outcome for this demand, of the hosts as they are."""
        found = self._known.get(wanted)
        if found is None:
            if len(self._known) > MOST:
                self.clear()
            found = self._known[wanted] = screen(wanted, self._state.hosts.values())
        return found

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()
