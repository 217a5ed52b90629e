"""How long somebody who guesses passwords waits: pure, with the time given, bounded in memory.

Counted are the failures of an account from one address, of that account from everywhere, and of
the address. From an address that has not failed there is always one try, so nobody is locked out
by somebody elsewhere. Each gateway counts for itself.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

PAIR_FREE = 5
"""Failures of one account from one address before anybody waits."""
ADDRESS_FREE = 30
"""Failures of one address, whatever the accounts: there may be an office behind it."""
ATTACKED = 50
"""Failures of one account from everywhere, from which on an address has one try, not PAIR_FREE."""
FIRST_S = 1.0
PAIR_MOST_S = 900.0
ADDRESS_MOST_S = 60.0
FORGET_S = 3600.0
"""After so long without a failure it never was."""
MOST_COUNTED = 50_000
"""Accounts and addresses that are counted; those that failed longest ago are forgotten first."""
_MOST_TIMES = 10_000


class Failures(NamedTuple):
    """How many, and when the last one was."""

    times: int
    last: float


NO_FAILURES = Failures(0, 0.0)


def wait_s(pair: Failures, account: Failures, address: Failures, now: float) -> float:
    """Seconds until the next try from this address for this account; 0: now."""
    free = 1 if account.times >= ATTACKED else PAIR_FREE
    return max(
        _left(pair, free, PAIR_MOST_S, now), _left(address, ADDRESS_FREE, ADDRESS_MOST_S, now)
    )


def _left(failures: Failures, free: int, most_s: float, now: float) -> float:
    over = failures.times - free
    if over < 0:
        return 0.0
    # 2 to the 20th is more than any wait.
    waits: float = min(FIRST_S * 2 ** min(over, 20), most_s)
    return max(0.0, min(failures.last + waits - now, most_s))


class Throttle:
    """What one gateway has counted. Times are those of one clock that never goes back."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, ...], Failures] = OrderedDict()

    def try_(self, account: str, address: str, now: float) -> float:
        """Seconds to wait; 0: it may be tried, and counts as failed until `forgive`.

        Tries that are under way at the same time are counted before any of them has failed.
        """
        keys = _keys(account, address)
        found = [self._of(key, now) for key in keys]
        if (wait := wait_s(found[0], found[1], found[2], now)) > 0:
            return wait
        for key, failures in zip(keys, found, strict=True):
            self._put(key, Failures(min(failures.times + 1, _MOST_TIMES), now))
        return 0.0

    def forgive(self, account: str, address: str, now: float) -> None:
        """It was the right password: this account may come from this address."""
        pair, *others = _keys(account, address)
        self._failures.pop(pair, None)
        for key in others:
            self.take_back(key, now)

    def take_back(self, key: tuple[str, ...], now: float) -> None:
        """One failure less."""
        failures = self._of(key, now)
        if failures.times <= 1:
            self._failures.pop(key, None)
        else:
            self._put(key, Failures(failures.times - 1, failures.last))

    def undecided(self, account: str, address: str, now: float) -> None:
        """Nobody knows if it was the right one: it does not count."""
        for key in _keys(account, address):
            self.take_back(key, now)

    @property
    def counted(self) -> int:
        """How many are remembered."""
        return len(self._failures)

    def _of(self, key: tuple[str, ...], now: float) -> Failures:
        found = self._failures.get(key, NO_FAILURES)
        return NO_FAILURES if now - found.last >= FORGET_S else found

    def _put(self, key: tuple[str, ...], failures: Failures) -> None:
        self._failures[key] = failures
        self._failures.move_to_end(key)
        while len(self._failures) > MOST_COUNTED:
            self._failures.popitem(last=False)


def _keys(account: str, address: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return ("pair", account, address), ("account", account), ("address", address)
