"""Attempts in flight, on their way or running, counted by all that has a limit of them. Pure."""

from __future__ import annotations

import msgspec


class Flights(msgspec.Struct):
    """How many there are; what comes to nothing is not kept."""

    total: int = 0
    hosts: dict[str, int] = msgspec.field(default_factory=dict)
    users: dict[str, int] = msgspec.field(default_factory=dict)
    foreign_total: int = 0
    """On hosts that users have brought."""
    foreign: dict[str, int] = msgspec.field(default_factory=dict)
    """The same of each user."""

    def add(self, user: str, host: str, *, foreign: bool) -> None:
        """Count one more."""
        self.total += 1
        self.hosts[host] = self.hosts.get(host, 0) + 1
        self.users[user] = self.users.get(user, 0) + 1
        if foreign:
            self.foreign_total += 1
            self.foreign[user] = self.foreign.get(user, 0) + 1

    def remove(self, user: str, host: str, *, foreign: bool) -> None:
        """Count one less."""
        self.total -= 1
        _less(self.hosts, host)
        _less(self.users, user)
        if foreign:
            self.foreign_total -= 1
            _less(self.foreign, user)


def _less(counts: dict[str, int], key: str) -> None:
    left = counts.get(key, 0) - 1
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
