"""A circuit breaker: when the calls of a host fail in a row, it gets none for a while, then one.

The others wait for how that one ends: a host that works slowly must not fail them all.

Pure: no clock, no randomness, no I/O. Times are monotonic seconds and come in as values.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from contracts.facts import FailureKind
from services.process.backoff import delay

_JITTER = 0.2
_ITS_OWN = frozenset({FailureKind.UNREACHABLE, FailureKind.CUT, FailureKind.TIMEOUT})
_SILENT = frozenset({FailureKind.LOST, FailureKind.HOST_GONE})


class BreakerRules(NamedTuple):
    """When a breaker opens, and for how long."""

    failures: int = 5
    """Failed calls in a row that open it."""
    first_s: float = 1.0
    """How long it is open for the first time; twice as long each time after that …"""
    longest_s: float = 60.0
    """… up to this."""
    stable_s: float = 60.0
    """Closed for so long, it begins with `first_s` again."""
    patience_s: float = 1.0
    """A call that was given less time than this proves nothing when its time is up."""
    trial_s: float = 10.0
    """How long calls wait for the end of a trial; then the host is there, and may have one more."""
    recent: int = 20
    """Calls that are remembered …"""
    recent_s: float = 600.0
    """… for so long …"""
    enough: int = 6
    """… and fewer than these say nothing about how they go on the whole."""
    deaths: int = 2
    """Sessions that died or fell silent within `recent_s`: fewer may have been an accident."""


RULES = BreakerRules()


class BreakerState(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "closed"
    """It lets all through."""
    OPEN = "open"
    """It lets none through."""
    HALF_OPEN = "half_open"
    """It lets one through, and others only when that one takes long."""


class Verdict(StrEnum):
    """What the end of a call says about its host."""

    ANSWERS = "answers"
    FAULT = "fault"
    NOTHING = "nothing"


Ticket: TypeAlias = int
"""What a call was let through with: the end of an older call says nothing about the host now."""


def verdict(kind: FailureKind, called: bool | None, *, caller: bool = False) -> Verdict:
    """Say what a failed call means; `caller`: a protocol error for which the call is to blame.

    A well-formed answer, error or not, proves that the host answers, but only if it was the host
    that has found it out. Broken and missing answers are its fault.
    """
    if kind in _ITS_OWN or (kind is FailureKind.PROTOCOL and not caller):
        return Verdict.FAULT
    return Verdict.ANSWERS if called is True and kind not in _SILENT else Verdict.NOTHING


class Recent:
    """The last calls of one registration of a host: a breaker sees failures in a row, this half of
    them failing."""

    def __init__(self, rules: BreakerRules = RULES) -> None:
        self._rules = rules
        self._ends: deque[tuple[float, bool]] = deque()
        self._faults = 0
        self._deaths: deque[float] = deque(maxlen=rules.recent)

    def died(self, now: float) -> None:
        """A session died, or fell silent, with calls in it."""
        self._deaths.append(now)

    def deaths(self, now: float) -> int:
        """How many did so lately; 0 if that may have been an accident."""
        while self._deaths and self._deaths[0] < now - self._rules.recent_s:
            self._deaths.popleft()
        return len(self._deaths) if len(self._deaths) >= self._rules.deaths else 0

    def add(self, now: float, *, fault: bool) -> None:
        """A call ended that says something about the host."""
        self._ends.append((now, fault))
        self._faults += fault
        if len(self._ends) > self._rules.recent:
            self._faults -= self._ends.popleft()[1]

    def faults(self, now: float) -> tuple[int, int]:
        """How many of the last calls failed, and of how many; zeros if that is less than half."""
        if not self._faults:
            return 0, 0
        while self._ends and self._ends[0][0] < now - self._rules.recent_s:
            self._faults -= self._ends.popleft()[1]
        count = len(self._ends)
        if count < self._rules.enough or self._faults * 2 < count:
            return 0, 0
        return self._faults, count


class Circuit:
    """The breaker of one registration of a host, for one user or for all.

    What `admit` has let through must end in exactly one of `succeeded`, `failed` and `dropped`.
    """

    def __init__(self, rules: BreakerRules = RULES, *, for_all: bool = False) -> None:
        """`for_all`: no more than half of the failures that open it count of one user."""
        self._rules = rules
        self._most = (rules.failures + 1) // 2 if for_all else rules.failures
        self._by: Counter[str] = Counter()
        """Whose they were, while it is closed."""
        self.failures = 0
        """Calls that failed in a row."""
        self.last: FailureKind | None = None
        """How the last of them failed."""
        self.opened_at = 0.0
        self.until: float | None = None
        """When it is half open; None while it is closed."""
        self._openings = 0
        self._closed_at = 0.0
        self._trials = 0
        self._era: Ticket = 0

    def state(self, now: float) -> BreakerState:
        """Say what it does with calls now."""
        if self.until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.until else BreakerState.HALF_OPEN

    def tried(self, now: float) -> bool:
        """Whether a trial is under way, whose end a call has to wait for."""
        return self.state(now) is BreakerState.HALF_OPEN and self._trials > 0

    def admit(self, now: float, *, waited: bool = False) -> Ticket | None:
        """Let a call through; None: it may not. While half open, the first one is the trial.

        `waited`: it has waited `trial_s` for the end of a trial.
        """
        if self.until is None:
            return self._era
        state = self.state(now)
        if state is BreakerState.OPEN or (self.tried(now) and not waited):
            return None
        self._trials += state is BreakerState.HALF_OPEN
        return self._era

    def succeeded(self, ticket: Ticket, now: float) -> None:
        """The host has answered."""
        if ticket != self._era:
            return
        self.failures, self.last = 0, None
        self._by.clear()
        if self.until is not None:
            self._turn()
            self.until = None
            self._closed_at = now

    def failed(
        self, ticket: Ticket, kind: FailureKind, now: float, jitter: float, user: str = ""
    ) -> None:
        """A call of this user failed by the host's fault; `jitter` from 0 to 1 spreads the time it
        is open."""
        if ticket != self._era:
            return
        self.failures += 1
        self.last = kind
        if self.until is None:
            self._by[user] += 1
            if sum(min(n, self._most) for n in self._by.values()) < self._rules.failures:
                return
        if self.until is None and now - self._closed_at >= self._rules.stable_s:
            self._openings = 0
        self._openings += 1
        self._by.clear()
        self._turn()
        self.opened_at = now
        self.until = now + self._open_s(jitter)

    def dropped(self, ticket: Ticket) -> None:
        """A call ended without saying anything about the host: if it was a trial, another may
        be."""
        if ticket == self._era and self._trials:
            self._trials -= 1

    def _turn(self) -> None:
        self._era += 1
        self._trials = 0

    def _open_s(self, jitter: float) -> float:
        full = delay(self._openings, self._rules.first_s, self._rules.longest_s, 1.0)
        return full * (1 + _JITTER * (jitter - 0.5))
