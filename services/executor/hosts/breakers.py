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
from typing import NamedTuple

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
    Ticket,
    Verdict,
    verdict,
)
from services.process import telemetry

EARLY_S = 0.05
"""A loop's timer may ring a little before its time."""
REPEAT_S = 3.0
"""A breaker that is not closed is told again after so long."""
MOST_BREAKERS = 1000
"""Users for whom a host's breaker is kept apart; of more the one that failed first has none."""
_HOW = {
    FailureKind.UNREACHABLE: "it could not be reached",
    FailureKind.CUT: "the connection was lost",
    FailureKind.TIMEOUT: "it did not answer in time",
    FailureKind.PROTOCOL: "its answer was broken",
}

Clock = Callable[[], float]
Publish = Callable[[str, bytes], Awaitable[None]]
"""Sends on a subject, at most once."""

log = telemetry.get_logger()


FIRST: Ticket = 0
"""Of a user without a breaker of his own: the one that he may get begins with it."""


class Admitted(NamedTuple):
    """What a call was let through with."""

    all: Ticket
    own: Ticket


class CallGuard:
    """The breakers of one registration of a host, for whoever makes calls there.

    A user whose calls break the host, or get no answer, loses it for himself; all lose it when
    calls of several do. Only the breaker for all is told.
    """

    def __init__(
        self,
        host: str,
        seq: int,
        rules: BreakerRules,
        clock: Clock,
        changed: Callable[[], None],
        *,
        owned: bool = False,
    ) -> None:
        """Use `Breakers.of`."""
        self.host = host
        self.seq = seq
        self.breaker = Circuit(rules, for_all=not owned)
        self._own: dict[str, Circuit] = {}
        """Of users whose calls have failed; of a host that is one user's there are none."""
        self._owned = owned
        self._rules = rules
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

    def troubled(self, user: str) -> bool:
        """A breaker is not closed for him, so there may be a turn to wait for."""
        own = self._own.get(user) if self._own else None
        return self.breaker.until is not None or (own is not None and own.until is not None)

    def check(self, user: str) -> None:
        """Raise HostError(UNREACHABLE) while a breaker is open for this user."""
        if not self.troubled(user):
            return
        now = self._clock()
        for one in self._both(user):
            if one.state(now) is BreakerState.OPEN:
                raise self._refusal(now, one)

    async def turn(self, user: str) -> bool:
        """Wait while a trial is under way, for a limited time; True if it has not ended by then.

        Raises HostError(UNREACHABLE) if the trial has failed.
        """
        if not self.troubled(user):
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._trial_s):
                while self._tried(user):
                    self._ended = self._ended or asyncio.Event()
                    await self._ended.wait()
        self.check(user)
        return self._tried(user)

    def _both(self, user: str) -> list[Circuit]:
        own = self._own.get(user)
        return [self.breaker] if own is None else [self.breaker, own]

    def _tried(self, user: str) -> bool:
        now = self._clock()
        return any(one.tried(now) for one in self._both(user))

    def watch(self, call: Call, deadline: float, *, waited: bool = False) -> Watch:
        """Let one call through and learn from its end. Raises HostError(UNREACHABLE).

        `deadline` is the monotonic time at which the caller cancels the call: only then is that
        the host's fault. `waited` is what `turn` has said just before.
        """
        began = self._clock()
        own, its = self._own.get(call.plan.user), FIRST
        if own is not None:
            admitted = own.admit(began, waited=waited)
            if admitted is None:
                raise self._refusal(began, own)
            its = admitted
        ticket = self.breaker.admit(began, waited=waited)
        if ticket is None:
            if own is not None:
                own.dropped(its)
            raise self._refusal(began, self.breaker)
        enough = max(deadline, began + self._patience_s)
        return Watch(self, call, Admitted(ticket, its), enough)

    def answered(self, call: Call, tickets: Admitted) -> None:
        """Learn that a call has succeeded."""
        self._learn(call.plan.user, tickets, Verdict.ANSWERS, FailureKind.LOST)

    def stopped(self, call: Call, tickets: Admitted, enough: float, error: BaseException) -> None:
        """Learn from what stopped a call; until `enough` the host may still have answered."""
        found, kind = Verdict.NOTHING, FailureKind.LOST
        if isinstance(error, HostError):
            kind = error.kind
            if not error.sign_in:
                found = verdict(kind, error.called, caller=error.callers)
        elif isinstance(error, asyncio.CancelledError):
            silent = call.called is None and self._clock() >= enough + call.held_s - EARLY_S
            if silent:
                found, kind = Verdict.FAULT, FailureKind.TIMEOUT
        if found is Verdict.FAULT and (death := call.course.death) is not None:
            found = self._mourn(death)
        self._learn(call.plan.user, tickets, found, kind)

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
            reason="" if state is BreakerState.CLOSED else self._reason(self.breaker),
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

    def _learn(self, user: str, tickets: Admitted, found: Verdict, kind: FailureKind) -> None:
        now, until = self._clock(), self.breaker.until
        own = self._own.get(user)
        if found is Verdict.FAULT and own is None and not self._owned:
            own = self._keep_apart(user)
        match found:
            case Verdict.ANSWERS:
                self.recent.add(now, fault=False)
                self.breaker.succeeded(tickets.all, now)
                if own is not None:
                    own.succeeded(tickets.own, now)
            case Verdict.FAULT:
                self.recent.add(now, fault=True)
                self.breaker.failed(tickets.all, kind, now, random.random(), user)
                if own is not None:
                    self._failed_own(user, own, tickets.own, kind, now)
            case Verdict.NOTHING:
                self.breaker.dropped(tickets.all)
                if own is not None:
                    own.dropped(tickets.own)
        if self._ended is not None:
            self._ended.set()
            self._ended = None
        if self.breaker.until != until:
            self._log(now)
            self._changed()
        elif self._well(now) is not self._told_well:
            self._changed()

    def _keep_apart(self, user: str) -> Circuit:
        own = self._own[user] = Circuit(self._rules)
        if len(self._own) > MOST_BREAKERS:
            del self._own[next(iter(self._own))]
        return own

    def _failed_own(
        self, user: str, own: Circuit, ticket: Ticket, kind: FailureKind, now: float
    ) -> None:
        until = own.until
        own.failed(ticket, kind, now, random.random())
        if own.until is not None and own.until != until:
            open_s, reason = round(own.until - now, 1), self._reason(own)
            log.warning("breaker_open", host=self.host, user=user, open_s=open_s, reason=reason)

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
            reason = self._reason(self.breaker)
            log.warning("breaker_open", host=self.host, open_s=open_s, reason=reason)

    def _refusal(self, now: float, one: Circuit) -> HostError:
        until = one.until or now
        left = until - now
        again = f"The next is let through in {left:.1f} s" if left > 0 else "One tries it now"
        whose = "" if one is self.breaker else " for your calls"
        message = (
            f"the breaker of host {self.host}{whose} opened {now - one.opened_at:.1f} s ago:"
            f" {self._reason(one)}. {again}"
        )
        return HostError(FailureKind.UNREACHABLE, message)

    def _reason(self, one: Circuit) -> str:
        """Why it is not closed. Never what a failure said: that belongs to one user."""
        how = f"; at the last one {_HOW[one.last]}" if one.last else ""
        return f"{one.failures} calls in a row failed{how}"


class Watch:
    """Around a call that was let through; a class, because generators take twice the time."""

    __slots__ = ("_call", "_enough", "_guard", "_tickets")

    def __init__(self, guard: CallGuard, call: Call, tickets: Admitted, enough: float) -> None:
        """Use `CallGuard.watch`."""
        self._guard = guard
        self._call = call
        self._tickets = tickets
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
            self._guard.answered(self._call, self._tickets)
        else:
            self._guard.stopped(self._call, self._tickets, self._enough, error)


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

    def of(self, host: str, seq: int, *, owned: bool = False) -> CallGuard:
        """Return the guard of a registration; the one of an earlier registration is forgotten.

        `owned`: the host is one user's, so all that use it are that one.
        """
        guard = self._guards.get(host)
        if guard is None or guard.seq != seq:
            guard = CallGuard(host, seq, self._rules, self._clock, self._changed.set, owned=owned)
            self._guards[host] = guard
        return guard

    def renew(self, host: str, seq: int) -> None:
        """The host is as it was, under another registration: what is known of its calls stands."""
        if (guard := self._guards.get(host)) is not None:
            guard.seq = seq

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
