"""How many of something one user has at once at this gateway, and no more than a share."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from services.gateway.access.identity import Principal
from services.gateway.access.use import SOON_S, OverBudget


class UserShares:
    """Counts, by user."""

    def __init__(self, what: str, way_out: str) -> None:
        """`what` a user has so many of, and what to do when that is too many."""
        self._what = what
        self._way_out = way_out
        self._users: Counter[str] = Counter()

    @contextlib.contextmanager
    def one(self, who: Principal, most: int) -> Iterator[None]:
        """One more of them, for as long as it is there. Raises OverBudget."""
        user = who.user
        if self._users[user] >= most and not who.operator:
            text = f"{user} has {most} {self._what} at /mcp, the most there may be"
            raise OverBudget(f"{text}: {self._way_out}", SOON_S)
        self._users[user] += 1
        try:
            yield
        finally:
            self._users[user] -= 1
            if not self._users[user]:
                del self._users[user]
