"""What the active router does next: ends, losses, questions, routes, in rounds that need not wait
for the log.

Pure: all of it follows from the state, the settings and the moments given. What has been decided
but is not folded yet is kept aside and counts as done.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import msgspec

from contracts import subjects
from contracts.facts import Failure, JobDone, JobFailed, Outcome, TaskAsked, TaskRouted
from contracts.host import Host
from contracts.subjects import Guard
from contracts.task import Priority
from services.log.clock import LogClock, Moment
from services.router import domain
from services.router.again import GiveAgain, again, given
from services.router.asks import asking, needed
from services.router.beats import Beats, Claimant
from services.router.claims import Claims
from services.router.domain import End, Lose, NeedsHost, Wait
from services.router.endings import closing, guard_of
from services.router.flights import Flights
from services.router.pending import OnItsWay, sent_for
from services.router.queue import Next, Queue, Waiting
from services.router.routing import routing
from services.router.screens import Screens
from services.router.select import Screen, Selection, choose, policy, why_nobody
from services.router.settings import Settings
from services.router.shares import Shares, after_foreign, shares, stopped
from services.router.state import CLAIMED, Changes, OpenTask, State
from services.router.timers import Timers

PAUSE_S = 5.0
"""How long a task rests when the log would not take its fact."""
_Found = tuple[str, OpenTask, Selection | GiveAgain]
RANK = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


class Decision(msgspec.Struct, frozen=True, gc=False):
    """A fact to append, for the task `key`."""

    key: str
    fact: TaskRouted | TaskAsked | JobFailed | JobDone
    guard: Guard
    trace: str
    since: float
    """Log time since which the task has waited for this."""


class TermPlan:
    """The to-do list of one term: the one the state is in when the plan is made.

    `by` names the writer, `mint` makes fact ids.
    """

    def __init__(
        self, state: State, rules: Settings, clock: LogClock, by: str, mint: Callable[[], str]
    ) -> None:
        self._state = state
        self._rules = rules
        self._clock = clock
        self._by = by
        self._mint = mint
        self._policy = policy(rules)
        self.term = state.term
        self._began = state.term_seq
        self._guard = subjects.latest_term(state.term)
        self.queue = Queue(rules.age_s)
        self._timers = Timers()
        self._due: dict[str, End | Lose | GiveAgain] = {}
        self._pending: dict[str, OnItsWay] = {}
        self._flights = Flights()
        """Routes that are not folded yet."""
        self._shares: Shares | None = None
        self._screens = Screens(state)
        self.hopeless: set[str] = set()
        """Tasks that wait for a host that may still register."""
        self._bound: set[str] = set()
        """Queued tasks that go to one host as long as it is there."""
        self._aside: dict[str, float] = {}
        """Tasks whose fact the log would not take, and the log time to try again."""
        self._claims = Claims()

    @property
    def pending(self) -> int:
        """Decisions that are not folded yet."""
        return len(self._pending)

    @property
    def over(self) -> bool:
        """Another router has begun a term."""
        return self._state.term_seq != self._began

    @property
    def waiting(self) -> int:
        """Tasks in the queue."""
        return len(self.queue)

    def begin(self, moment: Moment) -> None:
        """Look at every open task; also after the log's clock has jumped."""
        self.queue = Queue(self._rules.age_s)
        self._timers = Timers()
        self._aside.clear()
        for key in list(self._state.tasks):
            self._review(key, moment)

    def notice(self, changes: Changes, moment: Moment) -> None:
        """Take up what the state has just folded."""
        if changes.hosts:
            self._hosts_changed(changes, moment)
        for key in given(self._due) if changes.hosts or changes.answers else ():
            self._review(key, moment)
        for key in changes.tasks:
            if key in self._pending:
                self._settle(key, moment)
            self._aside.pop(key, None)
            self._review(key, moment)
        for host in changes.freed_hosts:
            self.queue.wake(host, moment.now)
        for user in changes.freed_users:
            self.queue.release(user, moment.now)
        for user in changes.freed_foreign:
            self.queue.wake_each(after_foreign(user), moment.now)

    def refused(self, key: str, seq: int, moment: Moment) -> None:
        """The log refused this decision because of the fact at `seq`; once folded, decide again."""
        known = self._pending.get(key)
        if known is not None and seq <= self._state.seq:
            self._drop(key, known, moment)
            self._review(key, moment)

    def awaits(self, key: str) -> bool:
        """Tell whether a decision about this task is not folded yet."""
        return key in self._pending

    def set_aside(self, key: str, moment: Moment) -> None:
        """The log would not take this decision: leave the task alone for `PAUSE_S` seconds."""
        if (known := self._pending.get(key)) is not None:
            self._aside[key] = moment.now + PAUSE_S
            self._drop(key, known, moment)
            self._review(key, moment)

    def decide(self, moment: Moment, beats: Beats, limit: int) -> list[Decision]:
        """Return up to `limit` facts to append now, one per task; none comes a second time."""
        for key in self._timers.due(moment.now):
            self._review(key, moment)
        self._mourn(moment, beats)
        out = [self._close(key, step) for key, step in list(islice(self._due.items(), limit))]
        share = self._shared(moment, beats)
        for most in (share.contended, share.alone):
            while len(out) < limit and (found := self._next(moment, share, most)) is not None:
                out.append(self._send(*found, len(out), moment))
            wanting = list(islice(self.queue.held(), 2))
            if len(wanting) != 1 or self._of(wanting[0]) >= share.alone:
                break
            # Nobody else has a use for what is left.
            self.queue.release(wanting[0], moment.now)
        return out

    def sleep_s(self, moment: Moment, beats: Beats) -> float | None:
        """Return the seconds until something is due without news; None: nothing is."""
        first = self._timers.first()
        times = [] if first is None else [first - moment.now]
        if (lost_at := self._claims.lost_at(beats)) is not None:
            times.append(lost_at - moment.mono)
        return max(0.0, min(times)) if times else None

    def _settle(self, key: str, moment: Moment) -> None:
        """Let go of the decision if what came of it is folded."""
        known, task = self._pending[key], self._state.tasks.get(key)
        if task is None or not known.holds(task):
            self._drop(key, known, moment)

    def _review(self, key: str, moment: Moment) -> None:
        """Put the task where it belongs now: due, queue, hopeless, claims, or only a timer."""
        self._due.pop(key, None)
        if key in self._claims:
            self._claims.drop(key)
        else:
            self.queue.leave(key)
            self.hopeless.discard(key)
            self._bound.discard(key)
        task = self._state.tasks.get(key)
        if task is None or task.unread:
            self._timers.clear(key)
            return
        if key in self._pending:
            return
        now = moment.now
        if (rest := self._aside.get(key)) is not None:
            if now < rest:
                self._timers.set(key, rest)
                return
            del self._aside[key]
        step = domain.decide(task, now, self._rules, self._clock)
        if isinstance(step, NeedsHost):
            self._ready(key, task, step, now)
        elif isinstance(step, Wait):
            self._timers.set(key, step.until)
            if task.phase in CLAIMED:
                self._claims.add(key, Claimant(task.executor, task.incarnation), moment.mono)
        else:
            self._due[key] = step

    def _ready(self, key: str, task: OpenTask, step: NeedsHost, now: float) -> None:
        if task.only:
            self._bound.add(key)
        wanted = domain.demand(self._state, task)
        at = self._clock.moved(task.at, task.seq)
        found, wait = self._screens.of(wanted), step.until
        if found.caches and (known := again(self._state, task, found.caches, now)) is not None:
            self._due[key] = known
            return
        if found.down is not None:
            host = self._state.hosts[found.down]
            wait = min(wait, domain.gives_up_at(task, host, self._rules, self._clock))
            if wait <= now:
                self._due[key] = domain.given_up(task, host, self._rules)
                return
        if found.possible:
            self._timers.set(key, wait)
            item = Waiting(task.seq, at, key)
            self.queue.enter(item, task.user, RANK[task.priority], wanted, now)
            return
        early = not 0 < self._state.first_host_seq < task.seq
        until = at + self._rules.no_host_grace_s
        if early and now < until:
            self.hopeless.add(key)
            self._timers.set(key, min(until, step.until))
            return
        why = why_nobody(wanted._replace(user=task.user), self._state.hosts.values())
        # What has been tried has not been refused.
        outcome = Outcome.FAILED if task.attempt else Outcome.REJECTED
        self._due[key] = End(outcome, Failure("no_host", why))

    def _hosts_changed(self, changes: Changes, moment: Moment) -> None:
        self._screens.clear()
        self.queue.wake_all(moment.now)
        tasks = self._state.tasks
        again = [key for key in self._bound if key in tasks and tasks[key].only in changes.hosts]
        again += self.hopeless
        for user in changes.owners:
            again += self.queue.keys_of(user)
        for wanted in self.queue.demands():
            found = self._screens.of(wanted)
            if changes.guards or not found.possible or found.down in changes.hosts:
                again += self.queue.keys(wanted)
        for key in again:
            self._review(key, moment)

    def _shared(self, moment: Moment, beats: Beats) -> Shares:
        """The shares as they are now; when executors come or go, whoever was stopped may go on."""
        share = shares(beats.slots(moment.mono), self._rules)
        if share != self._shares:
            self._shares = share
            self.queue.release_all(moment.now)
            self.queue.wake_all(moment.now)
        return share

    def _of(self, user: str) -> int:
        """Attempts in flight of one user."""
        return self._state.flights.users.get(user, 0) + self._flights.users.get(user, 0)

    def _in_flight(self) -> int:
        return self._state.flights.total + self._flights.total

    def _next(self, moment: Moment, share: Shares, most: int) -> _Found | None:
        """Find the next task that gets a host or an answer; those that can't now are put aside.

        `most`: attempts in flight with which a user is passed over.
        """
        state, queue = self._state, self.queue
        while self._in_flight() < share.all:
            first = queue.best(moment.now)
            if first is None:
                return None
            user = first.user
            if self._of(user) >= most:
                queue.hold(user)
                continue
            task, found = state.tasks[first.key], self._screens.of(first.demand)
            if found.caches and (known := again(state, task, found.caches, moment.now)) is not None:
                queue.leave(first.key)
                return first.key, task, known
            if found.lifted and self._spares(first, task, moment.now):
                continue
            stopped = self._stopped(user, share) if found.foreign else ()
            slots, none = self._slots(found), bool(stopped)
            chosen = choose(found, user, slots, state.taste, self._policy, no_foreign=none)
            if chosen is not None:
                return first.key, task, chosen
            queue.park(first.demand, (*[fit.host for fit in found.fits], *stopped))
        return None

    def _stopped(self, user: str, share: Shares) -> tuple[str, ...]:
        """What this user's own hosts have to wait for before they get more; empty: nothing."""
        known, ours = self._state.flights, self._flights
        return stopped(
            share,
            user,
            known.foreign.get(user, 0) + ours.foreign.get(user, 0),
            known.foreign_total + ours.foreign_total,
        )

    def _spares(self, first: Next, task: OpenTask, now: float) -> bool:
        """Let a task whose every host looked sick wait out its backoff."""
        step = domain.decide(task, now, self._rules, self._clock)
        if not isinstance(step, NeedsHost) or step.spare_until <= now:
            return False
        self.queue.leave(first.key)
        self._timers.set(first.key, min(step.spare_until, step.until))
        return True

    def _slots(self, found: Screen) -> dict[str, int]:
        folded, ours = self._state.flights.hosts, self._flights.hosts
        return {fit.host: folded.get(fit.host, 0) + ours.get(fit.host, 0) for fit in found.fits}

    def _send(
        self, key: str, task: OpenTask, chosen: Selection | GiveAgain, index: int, moment: Moment
    ) -> Decision:
        """Route the task, unless a person has to allow it first, or there is an answer."""
        if isinstance(chosen, GiveAgain):
            return self._close(key, chosen)
        host = self._state.hosts[chosen.host].spec
        if (host.approve or task.approve) and needed(task, host) is not None:
            return self._ask(key, task, host)
        return self._route(key, task, chosen, index, moment)

    def _route(
        self, key: str, task: OpenTask, chosen: Selection, index: int, moment: Moment
    ) -> Decision:
        self.queue.served(task.user)
        self.queue.leave(key)
        self._hold(key, task, chosen.host, foreign=chosen.foreign)
        known = self._state, task, chosen, self._rules, self._clock
        route = routing(*known, now=moment.now, index=index)
        fact = TaskRouted(
            id=self._mint(),
            by=self._by,
            user=task.user,
            task=task.task,
            attempt=task.attempt + 1,
            route=route,
        )
        return Decision(key, fact, self._guard, task.trace, task.head_at or task.at)

    def _ask(self, key: str, task: OpenTask, host: Host) -> Decision:
        """Have a person say whether the host may get the task."""
        self.queue.leave(key)
        asked = asking(task, host, self._rules.question_timeout_s, self._mint(), self._by)
        self._forget(key)
        self._hold(key, task, "")
        guard = subjects.job_head(task.user, task.task, task.head)
        return Decision(key, asked, guard, task.trace, task.head_at or task.at)

    def _close(self, key: str, step: End | Lose | GiveAgain) -> Decision:
        task = self._state.tasks[key]
        self._forget(key)
        self._hold(key, task, "")
        fact = closing(task, step, self._state.hosts.get(task.host), self._mint(), self._by)
        return Decision(key, fact, guard_of(task), task.trace, task.head_at or task.at)

    def _forget(self, key: str) -> None:
        self._due.pop(key, None)
        self._timers.clear(key)
        self._claims.drop(key)

    def _hold(self, key: str, task: OpenTask, host: str, *, foreign: bool = False) -> None:
        """Count a decision that is on its way to the log."""
        self._pending[key] = sent_for(task, host, foreign=foreign)
        if host:
            self._flights.add(task.user, host, foreign=foreign)

    def _drop(self, key: str, known: OnItsWay, moment: Moment) -> None:
        del self._pending[key]
        if known.host:
            self._flights.remove(known.user, known.host, foreign=known.foreign)
            task = self._state.tasks.get(key)
            if task is None or task.attempt == known.attempt:
                # It was not routed after all: the slot is free again.
                self.queue.wake(known.host, moment.now)
                self.queue.release(known.user, moment.now)
                if known.foreign:
                    self.queue.wake_each(after_foreign(known.user), moment.now)

    def _mourn(self, moment: Moment, beats: Beats) -> None:
        for key, why in self._claims.lost(beats, moment.mono):
            self._due[key] = Lose(why)
