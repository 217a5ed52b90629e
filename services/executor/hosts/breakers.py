"""The circuit breakers at the doors of hosts, and what they tell the registry.

Calls never wait for the telling: one task of its own does it, from the state as it is by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from types import TracebackType

import msgspec

from contracts import subjects, wire
from contracts.facts import FailureKind
from services.executor.attempt.call import Call, HostError
from services.executor.attempt.course import Death
from services.executor.hosts.breaker import (
    RULES,
    BreakerRules,
    BreakerState,
    Circuit,
    Recent,
    Verdict,
    verdict,
)
from services.process import telemetry

EARLY_S = 0.05
"""A loop's timer may ring a little before its time."""
REPEAT_S = 3.0
"""A breaker that is not closed is told again after so long."""
_HOW = {
    FailureKind.UNREACHABLE: "it could not be reached",
    FailureKind.CUT: "the connection was lost",
    FailureKind.TIMEOUT: "it did not answer in time",
    FailureKind.PROTOCOL: "its answer was an error of the protocol",
}

Clock = Callable[[], float]
Publish = Callable[[str, bytes], Awaitable[None]]
"""Sends on a subject, at most once."""

log = telemetry.get_logger()


class CallGuard:
    """The breaker of one registration of a host, for whoever makes calls there."""

    def __init__(
        self, host: str, seq: int, rules: BreakerRules, clock: Clock, changed: Callable[[], None]
    ) -> None:
        """Use `Breakers.of`."""
        self.host = host
        self.seq = seq
        self.breaker = Circuit(rules)
        self.recent = Recent(rules)
        self._patience_s = rules.patience_s
        self._trial_s = rules.trial_s
        self._ended: asyncio.Event | None = None
        """Of those who wait for the end of a call."""
        self._clock = clock
        self._changed = changed
        self._told = (BreakerState.CLOSED, 0, False, 0)
        self._told_at = 0.0
        self._told_well = True

    @property
    def troubled(self) -> bool:
        """The breaker is not closed, so there may be a turn to wait for."""
        return self.breaker.until is not None

    def check(self) -> None:
        """Raise HostError(UNREACHABLE) while the breaker is open."""
        if not self.troubled:
            return
        now = self._clock()
        if self.breaker.state(now) is BreakerState.OPEN:
            raise self._refusal(now)

    async def turn(self) -> bool:
        """Wait while a trial is under way, for a limited time; True if it has not ended by then.

        Raises HostError(UNREACHABLE) if the trial has failed.
        """
        if not self.troubled:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._trial_s):
                while self.breaker.tried(self._clock()):
                    self._ended = self._ended or asyncio.Event()
                    await self._ended.wait()
        self.check()
        return self.breaker.tried(self._clock())

    def watch(self, call: Call, deadline: float, *, waited: bool = False) -> Watch:
        """Let one call through and learn from its end. Raises HostError(UNREACHABLE).

        `deadline` is the monotonic time at which the caller cancels the call: only then is that
        the host's fault. `waited` is what `turn` has said just before.
        """
        began = self._clock()
        ticket = self.breaker.admit(began, waited=waited)
        if ticket is None:
            raise self._refusal(began)
        return Watch(self, call, ticket, max(deadline, began + self._patience_s))

    def answered(self, ticket: int) -> None:
        """Learn that a call has succeeded."""
        self._learn(ticket, Verdict.ANSWERS, FailureKind.LOST)

    def stopped(self, call: Call, ticket: int, enough: float, error: BaseException) -> None:
        """Learn from what stopped a call; until `enough` the host may still have answered."""
        found, kind = Verdict.NOTHING, FailureKind.LOST
        if isinstance(error, HostError):
            kind = error.kind
            found = verdict(kind, error.called, caller=error.callers)
        elif isinstance(error, asyncio.CancelledError):
            silent = call.called is None and self._clock() >= enough - EARLY_S
            if silent:
                found, kind = Verdict.FAULT, FailureKind.TIMEOUT
        if found is Verdict.FAULT and (death := call.course.death) is not None:
            found = self._mourn(death)
        self._learn(ticket, found, kind)

    def news(self, now: float, repeat_s: float) -> bool:
        """Whether something is to be told: it changed, or is not well and was told long ago."""
        well = self._well(now)
        if well and self._told_well:
            return False
        return well or self._told != self._state(now) or now >= self._told_at + repeat_s

    def message(self, now: float, instance: str) -> wire.Breaker:
        """Return what is to be told; after this it counts as told."""
        self._told, self._told_at = self._state(now), now
        self._told_well = self._well(now)
        state, failures, *_ = self._told
        faults, calls = self.recent.faults(now)
        return wire.Breaker(
            instance,
            self.host,
            self.seq,
            open=state is BreakerState.OPEN,
            failures=failures,
            reason="" if state is BreakerState.CLOSED else self._reason(),
            recent_calls=calls,
            recent_faults=faults,
            deaths=self.recent.deaths(now),
        )

    def next_news(self, now: float, repeat_s: float) -> float:
        """When there is something to tell although no call ends; infinity: never."""
        repeated = self._told_at + repeat_s
        if self.breaker.until is None:
            return float("inf") if self._told_well and self._well(now) else repeated
        return min(repeated, self.breaker.until) if now < self.breaker.until else repeated

    def _mourn(self, death: Death) -> Verdict:
        """Count a session's end once, whoever was in it; a call that was alone in it is to blame
        itself, so that says nothing about others."""
        if death.told:
            return Verdict.NOTHING
        death.told = True
        self.recent.died(self._clock())
        return Verdict.FAULT if death.shared else Verdict.NOTHING

    def _learn(self, ticket: int, found: Verdict, kind: FailureKind) -> None:
        now, until = self._clock(), self.breaker.until
        match found:
            case Verdict.ANSWERS:
                self.recent.add(now, fault=False)
                self.breaker.succeeded(ticket, now)
            case Verdict.FAULT:
                self.recent.add(now, fault=True)
                self.breaker.failed(ticket, kind, now, random.random())
            case Verdict.NOTHING:
                self.breaker.dropped(ticket)
        if self._ended is not None:
            self._ended.set()
            self._ended = None
        if self.breaker.until != until:
            self._log(now)
            self._changed()
        elif self._well(now) is not self._told_well:
            self._changed()

    def _state(self, now: float) -> tuple[BreakerState, int, bool, int]:
        """What is worth telling when it changes."""
        state = self.breaker.state(now)
        failures = 0 if state is BreakerState.CLOSED else self.breaker.failures
        return state, failures, self.recent.faults(now)[0] > 0, self.recent.deaths(now)

    def _well(self, now: float) -> bool:
        recent = self.recent
        return self.breaker.until is None and not (recent.faults(now)[0] or recent.deaths(now))

    def _log(self, now: float) -> None:
        if self.breaker.until is None:
            log.info("breaker_closed", host=self.host)
        else:
            open_s = round(self.breaker.until - now, 1)
            log.warning("breaker_open", host=self.host, open_s=open_s, reason=self._reason())

    def _refusal(self, now: float) -> HostError:
        until = self.breaker.until or now
        left = until - now
        again = f"The next is let through in {left:.1f} s" if left > 0 else "One tries it now"
        message = (
            f"the breaker of host {self.host} opened {now - self.breaker.opened_at:.1f} s ago:"
            f" {self._reason()}. {again}"
        )
        return HostError(FailureKind.UNREACHABLE, message)

    def _reason(self) -> str:
        """Why it is not closed. Never what a failure said: that belongs to one user."""
        how = f"; at the last one {_HOW[self.breaker.last]}" if self.breaker.last else ""
        return f"{self.breaker.failures} calls in a row failed{how}"


class Watch:
    """Around a call that was let through; a class, because generators take twice the time."""

    __slots__ = ("_call", "_enough", "_guard", "_ticket")

    def __init__(self, guard: CallGuard, call: Call, ticket: int, enough: float) -> None:
        """Use `CallGuard.watch`."""
        self._guard = guard
        self._call = call
        self._ticket = ticket
        self._enough = enough

    def __enter__(self) -> None:
        """Nothing: the call was let through when this was made."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if error is None:
            self._guard.answered(self._ticket)
        else:
            self._guard.stopped(self._call, self._ticket, self._enough, error)


class Breakers:
    """The breakers of all hosts in use, one for each."""

    def __init__(
        self, rules: BreakerRules = RULES, clock: Clock = time.monotonic, repeat_s: float = REPEAT_S
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._repeat_s = repeat_s
        self._guards: dict[str, CallGuard] = {}
        self._changed = asyncio.Event()

    def of(self, host: str, seq: int) -> CallGuard:
        """Return the guard of a registration; the one of an earlier registration is forgotten."""
        guard = self._guards.get(host)
        if guard is None or guard.seq != seq:
            guard = CallGuard(host, seq, self._rules, self._clock, self._changed.set)
            self._guards[host] = guard
        return guard

    def forget(self, host: str) -> None:
        """The host is gone, or registered anew."""
        self._guards.pop(host, None)

    async def run(self, instance: str, publish: Publish) -> None:
        """Tell what changes, and what is not closed every few seconds, for ever."""
        while True:
            self._changed.clear()
            now = self._clock()
            news = [one for one in self._guards.values() if one.news(now, self._repeat_s)]
            for guard in news:
                await self._tell(guard.message(now, instance), publish)
            times = (one.next_news(now, self._repeat_s) for one in self._guards.values())
            wait_s = min(times, default=float("inf")) - self._clock()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    async def _tell(self, message: wire.Breaker, publish: Publish) -> None:
        try:
            await publish(subjects.breaker(message.host), msgspec.json.encode(message))
        except Exception as error:
            # Nobody hears it now; while it is not closed it is told again.
            log.debug("breaker_not_told", host=message.host, error=repr(error))
