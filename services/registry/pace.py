"""How many facts an hour may tell of one host: one that changes at every probe fills no log.

Pure, and a fold of the log: a restart changes nothing. What is not told now is told later, as it is
by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from contracts.facts import HostFact, McpHealth, McpRegistered
from contracts.host import Host, operated

HOUR_S = 3600.0
HEALTHS = 15
"""Changes of health that are told of a user's host at once, and as many an hour after that."""
DISCOVERIES = 6
"""The same for what such a host says about itself: each of these facts may be half a megabyte."""
OPERATED = 20
"""So many times as much is told of one of the operator's."""


class Pace(msgspec.Struct, frozen=True):
    """What has been told lately: 1 is all that may be, and an hour takes 1 off."""

    told: float = 0.0
    at: float = 0.0
    """Log time of the last one."""

    def by(self, now: float) -> float:
        """What is left of it at log time `now`."""
        return max(0.0, self.told - max(0.0, now - self.at) / HOUR_S)

    def after(self, at: float, cost: float) -> Pace:
        """With one more fact."""
        return Pace(min(1.0, self.by(at) + cost), max(at, self.at))


class Paces(msgspec.Struct, frozen=True):
    """Of one host, by kind of fact."""

    discovery: Pace = Pace()
    state: Pace = Pace()

    def registered(self, spec: Host, at: float) -> Paces:
        """After a registration."""
        return Paces(self.discovery.after(at, cost(spec, DISCOVERIES)), self.state)

    def health(self, spec: Host | None, at: float) -> Paces:
        """After a change of health."""
        return Paces(self.discovery, self.state.after(at, cost(spec, HEALTHS)))


class Paced(Protocol):
    """What is known of a host."""

    @property
    def spec(self) -> Host | None:
        """The host, if there is one."""

    @property
    def paces(self) -> Paces:
        """What has been told of it."""


def cost(spec: Host | None, most: int) -> float:
    """What one of `most` facts takes of the whole."""
    return 1 / (most * OPERATED if spec is not None and operated(spec) else most)


def within(hosts: Mapping[str, Paced], facts: Sequence[HostFact], now: float) -> list[HostFact]:
    """Those of the facts a probe has led to that may be told at log time `now`."""
    return [fact for fact in facts if _may(hosts.get(fact.host), fact, now)]


def _may(known: Paced | None, fact: HostFact, now: float) -> bool:
    if known is None:
        return True
    match fact:
        case McpHealth():
            told, most = known.paces.state.by(now), HEALTHS
        case McpRegistered():
            told, most = known.paces.discovery.by(now), DISCOVERIES
        case _:
            return True
    # Sums of fractions are not exact.
    return told + cost(known.spec, most) < 1 + 1e-9
