"""What one user may take of the executors' slots, and what users' own hosts may take of them.

Pure. An attempt that runs keeps its slot until it ends, for days if it is allowed to. So what one
user has in flight, on its way or running, never adds up to all the slots there are.
"""

from __future__ import annotations

from typing import NamedTuple

from services.router.settings import Settings

AHEAD = 2
"""Attempts in flight for each slot of an executor: one that runs, and one on its way to it. What is
routed can't be put into another order any more."""
RESERVE = 8
"""One slot in so many, and at least one of several, is left free by whoever works here alone."""
CONTENDED = 2
"""Beyond one slot in so many, a user gets only what no other user has a use for."""
FOREIGN = 2
"""All hosts of users together take at most one slot in so many: their calls may last for ever."""
FOREIGN_EACH = 4
"""One user's hosts take at most one slot in so many."""
ALL_FOREIGN = "/"
"""What those wait for whom the share of all users' hosts has stopped; no host is named so."""


class Shares(NamedTuple):
    """Most attempts in flight."""

    all: int
    contended: int
    """Of one user, as long as others have a use for more."""
    alone: int
    """Of one user."""
    foreign: int
    """On all hosts of users."""
    foreign_each: int
    """On the hosts of one user."""


def shares(slots: int | None, rules: Settings) -> Shares:
    """The shares of so many slots; None: executors of a release that does not say them are there,
    and only the settings count."""
    most, user = rules.max_concurrent_jobs, rules.max_per_user
    if slots is None:
        return Shares(most, user, user, most, most)
    alone = min(user, max(1, slots - max(1, slots // RESERVE)))
    return Shares(
        all=min(most, AHEAD * slots),
        contended=min(alone, max(1, slots // CONTENDED)),
        alone=alone,
        foreign=max(1, slots // FOREIGN),
        foreign_each=max(1, slots // FOREIGN_EACH),
    )


def stopped(share: Shares, user: str, own: int, every: int) -> tuple[str, ...]:
    """What the hosts of a user have to wait for before they get more, see `after_foreign`; empty:
    nothing. `own`: attempts in flight on them, `every`: on those of all users."""
    each, all_ = after_foreign(user)
    return (each,) * (own >= share.foreign_each) + (all_,) * (every >= share.foreign)


def after_foreign(user: str) -> tuple[str, str]:
    """Who may go on when an attempt on a host of this user has ended, as names for the queue."""
    return f"/{user}", ALL_FOREIGN
