"""Which executors are alive, as far as one who listens can tell. Pure: monotonic time is given.

Silence counts only while somebody was listening: not across a cut connection or a pause of our own.
"""

from __future__ import annotations

from typing import NamedTuple

from contracts.wire import Beat

PAUSE_S = 1.5
"""A router that did not get to look for longer than this may have missed beats itself."""
LOOK_S = 0.5
"""How often it must look."""
TAKEOVER_S = 2.5
"""After so much silence of the known run, any other is taken for its successor."""
_FORGET_S = 3600.0


class Claimant(NamedTuple):
    """One run of an executor.

    Incarnations are UUIDv7: a later run has the greater one, unless the wall clock stepped back.
    """

    executor: str
    incarnation: str


class _Run(NamedTuple):
    """The run of an executor that counts."""

    incarnation: str
    adopted: float
    heard: float
    replaced: str
    """The run before it; empty if none was heard."""
    slots: int
    """Attempts it runs at once; 0: it does not say."""


class Beats:
    """The newest heartbeat of each executor."""

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._seen: dict[str, _Run] = {}
        self._since: float | None = None
        self._looked = 0.0

    def listen(self, mono: float) -> None:
        """Beats are heard from now on."""
        self._since = self._looked = mono

    def deafen(self) -> None:
        """The connection is gone: silence means nothing."""
        self._since = None

    def hear(self, beat: Beat, mono: float) -> bool:
        """Take a heartbeat; True if it is the first of a run. Those of older runs don't count."""
        self._attend(mono)
        known = self._seen.get(beat.instance)
        if known is None:
            self._seen[beat.instance] = _Run(beat.incarnation, mono, mono, "", beat.slots)
            return True
        if beat.incarnation == known.incarnation:
            self._seen[beat.instance] = known._replace(heard=mono, slots=beat.slots)
            return False
        older = beat.incarnation < known.incarnation or beat.incarnation == known.replaced
        if older and not self._silent(known, mono):
            return False
        replaced = known.incarnation
        self._seen[beat.instance] = _Run(beat.incarnation, mono, mono, replaced, beat.slots)
        return True

    def slots(self, mono: float) -> int | None:
        """Return the slots of all executors that beat: none before the first is heard. None: there
        have been executors, and none has ever said any, as in old releases."""
        said = [run for run in self._seen.values() if run.slots]
        alive = (run.slots for run in said if mono - run.heard < self._lost_after_s)
        return sum(alive) if said or not self._seen else None

    def look(self, mono: float) -> None:
        """Call at least every `LOOK_S` seconds; after a longer gap, listening begins anew."""
        if mono - self._looked > _FORGET_S or len(self._seen) > 10_000:
            self._seen = {k: v for k, v in self._seen.items() if mono - v.heard < _FORGET_S}
        self._attend(mono)

    def lost(self, who: Claimant, claimed: float, mono: float) -> str | None:
        """Say why a claim made at `claimed` (monotonic) is lost; None while it is not."""
        known = self._seen.get(who.executor)
        if known is not None and _succeeded(known, who, claimed):
            return f"{who.executor} has restarted since it claimed the attempt"
        silent = self._silent_since(who, claimed)
        if silent is not None and mono - silent >= self._lost_after_s:
            return f"no heartbeat of {who.executor} for {self._lost_after_s:g} s"
        return None

    def lost_at(self, who: Claimant, claimed: float) -> float | None:
        """Return the monotonic time at which silence alone makes it lost; None: not at all."""
        silent = self._silent_since(who, claimed)
        return None if silent is None else silent + self._lost_after_s

    def _silent_since(self, who: Claimant, claimed: float) -> float | None:
        if self._since is None:
            return None
        known = self._seen.get(who.executor)
        # Another run's beats say nothing about this one.
        heard = known is not None and known.incarnation == who.incarnation
        return max(self._since, claimed, known.heard if known and heard else 0.0)

    def _attend(self, mono: float) -> None:
        if self._since is not None and mono - self._looked > PAUSE_S:
            self._since = mono
        self._looked = mono

    def _silent(self, known: _Run, mono: float) -> bool:
        return self._since is not None and mono - max(self._since, known.heard) > TAKEOVER_S


def _succeeded(known: _Run, who: Claimant, claimed: float) -> bool:
    """Tell whether the known run has certainly come after the claimant's.

    Order alone does not tell: a run whose clock stepped back may claim before it is adopted.
    """
    if who.incarnation == known.replaced:
        return True
    return who.incarnation < known.incarnation and claimed <= known.adopted
