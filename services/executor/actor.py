"""The executor: takes routes from the queue, claims them in the log, and has the claimed ones run.

A claim is appended before the call and acknowledged after the append, so nothing runs twice.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import islice
from typing import Any

import msgspec

from contracts import facts, subjects
from contracts.facts import FailureKind, TaskRouted, Unknown
from contracts.wire import Beat
from services.executor import domain
from services.executor.attempt.attempt import Attempt, Key
from services.executor.attempt.runner import Ports, Runner
from services.executor.projection import Hosts
from services.executor.settings import Settings
from services.log.port import AlreadyRecorded, Append, Delivery, LogUnavailable
from services.process import backoff, telemetry
from services.process.ids import new_id

BEAT_S = 1.0
VIEW_S = 10.0
"""How long a route waits for the own view before it is given back."""
AGAIN_S = 1.0
UNREAD_S = 10.0
"""How long a route that can't be read here is left alone, before any executor may get it."""
RETRY_S = (0.1, 2.0)
SIGN_CHUNK = 16
"""Claims signed (0.3 ms each) before the loop may do something else."""
MOST_CANCELS = 10_000
CUT_S = 1.0
"""What cut calls get to be recorded."""

log = telemetry.get_logger()


class Executor:
    """Runs attempts, at most `settings.slots` at a time."""

    def __init__(
        self,
        ports: Ports,
        hosts: Hosts,
        settings: Settings,
        me: domain.Me,
        opened: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Needs a running loop. `opened` returns once routes may be taken."""
        self._ports = ports
        self._hosts = hosts
        self._settings = settings
        self._me = me
        self._opened = opened
        self._runner = Runner(ports, settings, me.instance)
        self._inbox = ports.log.inbox(subjects.STREAM, subjects.EXECUTOR_DURABLE)
        self._attempts: dict[Key, Attempt] = {}
        self._cancels: dict[tuple[str, str], str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._intake: asyncio.Task[Any] | None = None
        self._draining = False
        self._empty = asyncio.Event()
        hosts.on_cancelled = self._cancel
        hosts.on_changed = self._changed
        hosts.on_answered = self._runner.held.answered
        self._runner.held.on_held, self._runner.held.on_resumed = self._lent, self._resumed
        self._owed = 0
        """Slots that calls have again which were lent to others meanwhile."""

    @property
    def busy(self) -> int:
        """Attempts that are here now."""
        return len(self._attempts)

    async def run(self) -> None:
        """Take routes until drained."""
        self._intake = asyncio.current_task()
        if self._opened is not None:
            await self._hosts.followed.wait()
            await self._opened()
        self._inbox.want(self._settings.slots)
        while not self._draining:
            taken = [
                attempt
                for delivery in await self._inbox.receive()
                if (attempt := self._accept(delivery)) is not None
            ]
            if taken:
                self._spawn(self._guarded(taken, self._claim(taken)))

    async def beat(self) -> None:
        """Show every second that this executor is alive; from its own loop, so that it means it."""
        subject = subjects.beat(self._me.instance)
        own = self._settings
        limits = own.max_files, own.max_files_bytes, own.max_input_bytes
        while True:
            # While it drains the router is not to count on it: none at all would be no answer.
            slots = 1 if self._draining else own.slots
            busy = self.busy - self._runner.held.count
            beat = Beat(self._me.instance, self._me.incarnation, busy, slots, *limits)
            try:
                await self._ports.publish(subject, msgspec.json.encode(beat))
                await self._hold()
            except Exception as error:
                log.debug("beat_not_sent", error=repr(error))
            await asyncio.sleep(BEAT_S)

    async def _hold(self) -> None:
        """Keep what is here and not claimed yet: what nobody answers for goes to another."""
        for attempt in list(self._attempts.values()):
            if not attempt.seq:
                await attempt.delivery.hold()

    async def drain(self) -> None:
        """Take no more, let calls finish for `drain_s`, then cut and record the rest."""
        self._draining = True
        if self._intake is not None:
            self._intake.cancel()
        for attempt in [a for a in self._attempts.values() if not a.claimed_at]:
            await self._give_back(attempt, 0.0)
        await self._inbox.close()
        if not await self._emptied(self._settings.drain_s):
            log.warning("calls_cut", count=self.busy)
            for attempt in list(self._attempts.values()):
                attempt.cut()
            await self._emptied(CUT_S)
        await self._ports.pool.close()

    async def abandon(self) -> None:
        """Stop everything at once and record nothing: in the log as it is now none of it is."""
        self._draining = True
        running = (attempt.task for attempt in self._attempts.values())
        doing = {*self._tasks, *(task for task in (self._intake, *running) if task is not None)}
        # Whatever is just writing down that its user had it cancelled takes the first one for that.
        for _ in range(2):
            for task in doing:
                task.cancel()
            if doing:
                await asyncio.wait(doing, timeout=CUT_S)
        await self._inbox.close()
        await self._ports.pool.close()

    async def _emptied(self, seconds: float) -> bool:
        self._empty.clear()
        if not self._attempts:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def _accept(self, delivery: Delivery) -> Attempt | None:
        """Read a delivery; None if there is nothing to do for it.

        Waits for nothing, so that a drain finds each batch taken as a whole or not at all.
        """
        fact = facts.decode(delivery.data, delivery.subject)
        if isinstance(fact, Unknown):
            log.warning("route_not_readable", subject=fact.subject, error=fact.why)
            self._spawn(self._nak(delivery, UNREAD_S))
            self._inbox.want(1)
            return None
        if not isinstance(fact, TaskRouted):
            self._spawn(self._answer(delivery))
            self._inbox.want(1)
            return None
        key = (fact.user, fact.task, fact.attempt)
        known = self._attempts.get(key)
        if known is not None:
            # Delivered again while it is here: only the newest delivery can be answered.
            self._inbox.want(1)
            known.delivery = delivery
            if known.seq:
                self._spawn(self._answer(delivery))
            return None
        attempt = Attempt(fact, delivery)
        attempt.course.cancelled = self._cancels.get(attempt.name)
        self._attempts[key] = attempt
        self._hosts.clock.told(delivery.seq, fact.route.now, time.monotonic())
        return attempt

    async def _claim(self, attempts: list[Attempt]) -> None:
        """Decide on a batch of routes; one wait and few appends for all of them.

        What was asked for is read meanwhile: a claim does not depend on it, the call does.
        """
        reading = asyncio.create_task(self._runner.read(attempts))
        reading.add_done_callback(_seen)
        for attempt in attempts:
            attempt.reading = reading
        await self._hosts.reached(max(a.routed.route.host_seq for a in attempts), VIEW_S)
        now = self._hosts.clock.moment(time.monotonic()).now
        claimed = iter([attempt for attempt in attempts if self._decided(attempt, now)])
        while chunk := list(islice(claimed, SIGN_CHUNK)):
            self._spawn(self._guarded(chunk, self._append_claims(chunk)))
            await asyncio.sleep(0)

    def _decided(self, attempt: Attempt, now: float) -> bool:
        """Have the decision on one route carried out; True if it is to be claimed.

        A drain gives back what is not claimed, so nothing is done about it here.
        """
        routed = attempt.routed
        if self._draining:
            return False
        view = self._hosts.view(routed.route.host)
        match domain.decide(routed, attempt.course.cancelled is not None, view, now):
            case domain.Claim(_, budget_s):
                known = self._hosts.get(routed.route.host)
                assert known is not None
                if known.refused:
                    text = f"host {routed.route.host}: {known.refused}"
                    failing = self._fail(attempt, FailureKind.UNREACHABLE, text)
                    self._spawn(self._guarded([attempt], failing))
                    return False
                attempt.known = known
                attempt.budget_s = budget_s
                attempt.deadline = time.monotonic() + budget_s
                return True
            case domain.WaitForView():
                self._spawn(self._give_back(attempt))
            case domain.Leave(reason):
                log.warning("route_left", task=routed.task, reason=reason)
                self._spawn(self._give_back(attempt, UNREAD_S))
            case domain.Drop(reason):
                log.info("route_dropped", task=routed.task, reason=reason)
                self._spawn(self._finish(attempt))
            case domain.Fail(kind, message):
                self._spawn(self._guarded([attempt], self._fail(attempt, kind, message)))
        return False

    def _signed(self, attempt: Attempt) -> Append:
        """Sign the permit and make the claim."""
        routed = attempt.routed
        lifetime_s = attempt.budget_s + self._settings.permit_margin_s
        assert attempt.known is not None
        # By the log's clock, by which the router judges when a permit is over.
        now = self._hosts.clock.moment(time.monotonic()).now
        claims = domain.claims(routed, attempt.known.audience, now, lifetime_s)
        attempt.permit = self._ports.key.sign(claims)
        attempt.claimed_at = time.monotonic()
        fact = domain.signed(routed, claims, attempt.permit, self._me, new_id())
        guard = subjects.job_head(routed.user, routed.task, routed.route.job_head)
        return Append(fact, guard, attempt.trace)

    async def _append_claims(self, attempts: list[Attempt]) -> None:
        if self._draining:
            return
        claims = [self._signed(attempt) for attempt in attempts]
        mine = []
        for attempt, stored in zip(attempts, await self._append(claims), strict=True):
            if isinstance(stored, AlreadyRecorded):
                log.info("claim_refused", task=attempt.routed.task, found=str(stored))
                self._release(attempt)
            else:
                attempt.seq = stored
                mine.append(attempt)
        await self._answer(*[attempt.delivery for attempt in attempts])
        for attempt in mine:
            attempt.course.cut = self._draining
            # Held by the attempt, which is here until its run is over.
            attempt.task = asyncio.create_task(self._run(attempt))

    async def _guarded(self, attempts: Sequence[Attempt], work: Coroutine[Any, Any, None]) -> None:
        """Do this work on these attempts; when it breaks, give back what it left unclaimed."""
        try:
            await work
        except Exception:
            log.exception("routes_given_back", tasks=[a.routed.task for a in attempts])
            for attempt in attempts:
                if not attempt.seq:
                    await self._give_back(attempt)

    async def _run(self, attempt: Attempt) -> None:
        try:
            await self._runner.run(attempt)
        except Exception:
            log.exception("executor_task_failed", task=attempt.routed.task)
        finally:
            self._release(attempt)

    async def _fail(self, attempt: Attempt, kind: FailureKind, message: str) -> None:
        """Record a failure that needs no claim."""
        routed = attempt.routed
        ended = domain.Ended(kind, message, False, retryable=kind is FailureKind.HOST_GONE)
        fact = domain.failed(routed, ended, self._me.instance, new_id())
        guard = subjects.job_head(routed.user, routed.task, routed.route.job_head)
        await self._append([Append(fact, guard, attempt.trace)])
        await self._finish(attempt)

    async def _append(self, items: list[Append]) -> list[int | AlreadyRecorded]:
        """Append; while the log is away the same facts again, which stores none of them twice."""
        failures = 0
        while True:
            try:
                return await self._ports.log.append_all(items)
            except LogUnavailable as error:
                log.warning("claims_not_stored_yet", count=len(items), error=str(error))
                failures += 1
                await asyncio.sleep(backoff.delay(failures, *RETRY_S, random.random()))

    def _changed(self, host: str) -> None:
        """A host is not what it was. One that is switched off is let go of, a user's at once."""
        self._ports.pool.follow(host, self._hosts.get(host))

    def _cancel(self, user: str, task: str, reason: str) -> None:
        """Cancel what is here; remember it for a route that is still on its way.

        An older wish the router has seen before it routed.
        """
        self._cancels[user, task] = reason
        if len(self._cancels) > MOST_CANCELS:
            del self._cancels[next(iter(self._cancels))]
        for attempt in self._attempts.values():
            if attempt.routed.task == task and attempt.routed.user == user:
                attempt.cancel(reason)

    async def _give_back(self, attempt: Attempt, delay_s: float = AGAIN_S) -> None:
        if not self._holds(attempt):
            return
        self._release(attempt)
        await self._nak(attempt.delivery, delay_s)

    async def _nak(self, delivery: Delivery, delay_s: float) -> None:
        """Give it back; if that gets lost it comes again all the same, later."""
        try:
            await delivery.nak(delay_s)
        except Exception as error:
            log.debug("nak_not_sent", error=repr(error))

    async def _finish(self, attempt: Attempt) -> None:
        self._release(attempt)
        await self._answer(attempt.delivery)

    async def _answer(self, *deliveries: Delivery) -> None:
        """Acknowledge; if that gets lost the route comes again, and its claim is refused."""
        try:
            await self._inbox.ack_all(deliveries)
        except Exception as error:
            log.debug("ack_not_sent", error=repr(error))

    def _holds(self, attempt: Attempt) -> bool:
        return self._attempts.get(attempt.key) is attempt

    def _release(self, attempt: Attempt) -> None:
        if not self._holds(attempt):
            return
        del self._attempts[attempt.key]
        attempt.span.end()
        if not self._attempts:
            self._empty.set()
        if self._owed:
            self._owed -= 1
        elif not self._draining:
            self._inbox.want(1)

    def _lent(self) -> None:
        """A call waits for a person: another may run meanwhile."""
        if not self._draining:
            self._inbox.want(1)

    def _resumed(self) -> None:
        """It goes on, without a wait: the next slot that gets free is its own."""
        self._owed += 1

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("executor_task_failed", exc_info=error)


def _seen(reading: asyncio.Task[Any]) -> None:
    """Whoever needs the outcome asks for it; nobody may, and that is no news."""
    if not reading.cancelled():
        reading.exception()
