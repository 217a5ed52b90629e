"""Which run of an executor holds which attempts, and since when. Pure: monotonic time is given."""

from __future__ import annotations

from collections.abc import Iterator

from services.router.beats import Beats, Claimant


class Claims:
    """The claimed attempts, oldest claim first."""

    def __init__(self) -> None:
        self._claims: dict[Claimant, dict[str, float]] = {}
        self._claim_of: dict[str, Claimant] = {}

    def __contains__(self, key: object) -> bool:
        """Tell whether somebody holds this task's attempt."""
        return key in self._claim_of

    def add(self, key: str, who: Claimant, mono: float) -> None:
        """Note a claim."""
        self._claims.setdefault(who, {})[key] = mono
        self._claim_of[key] = who

    def drop(self, key: str) -> None:
        """Forget a claim, if there is one."""
        who = self._claim_of.pop(key, None)
        if who is None:
            return
        keys = self._claims[who]
        del keys[key]
        if not keys:
            del self._claims[who]

    def lost(self, beats: Beats, mono: float) -> Iterator[tuple[str, str]]:
        """The attempts that are lost, and why."""
        for who, keys in self._claims.items():
            for key, claimed in keys.items():
                why = beats.lost(who, claimed, mono)
                if why is None:
                    # The others are younger.
                    break
                yield key, why

    def lost_at(self, beats: Beats) -> float | None:
        """The monotonic time at which silence alone makes the first of them lost; None: none."""
        times = (
            beats.lost_at(who, next(iter(keys.values()))) for who, keys in self._claims.items()
        )
        return min((at for at in times if at is not None), default=None)
