"""Decisions on their way into the log; the plan is told what has become of them.

Whatever is appended is guarded by the router's term: a router that was overtaken is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import NamedTuple

import msgspec

from contracts import subjects
from contracts.errors import Rejected
from contracts.facts import LogRouter, TaskRouted
from services.log.clock import Moment
from services.log.port import AlreadyRecorded, Append, Log, LogMismatch, LogUnavailable
from services.process import telemetry
from services.process.ids import new_id
from services.router.plan import Decision, TermPlan
from services.router.spans import append_of

log = telemetry.get_logger()


class Reign(NamedTuple):
    """What the appends ask and tell the router whose they are."""

    lasts: Callable[[TermPlan], bool]
    """Whether it still decides by this plan."""
    end: Callable[[], None]
    moment: Callable[[], Moment]
    wake: Callable[[], None]


class _Sent(msgspec.Struct, frozen=True, gc=False):
    """A decision and what is appended for it."""

    decision: Decision
    item: Append


class Appends:
    """`start` them; they need no waiting for."""

    def __init__(self, log_: Log, reign: Reign, by: str) -> None:
        self._log = log_
        self._reign = reign
        self._by = by
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, plan: TermPlan, decisions: Sequence[Decision]) -> None:
        """Append what the plan has decided, on the side."""
        routes: list[_Sent] = []
        ends: list[_Sent] = []
        for decision in decisions:
            sent = routes if isinstance(decision.fact, TaskRouted) else ends
            sent.append(_Sent(decision, append_of(decision)))
        if routes:
            self._spawn(self._route(plan, routes), plan, len(routes))
        if ends:
            self._spawn(self._close(plan, ends), plan, len(ends))

    async def wait(self, timeout_s: float) -> None:
        """Wait until they are settled, at most so long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    def _spawn(self, work: Coroutine[None, None, None], plan: TermPlan, count: int) -> None:
        task = asyncio.create_task(self._settled(work, plan, count), name="router-append")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settled(self, work: Coroutine[None, None, None], plan: TermPlan, count: int) -> None:
        try:
            await work
        except Exception as error:
            # What became of these facts is not known: a new term reads it from the log.
            log.warning("router_append_failed", facts=count, error=repr(error))
            if self._reign.lasts(plan):
                self._reign.end()

    async def _route(self, plan: TermPlan, sent: list[_Sent]) -> None:
        """Routes carry the guard of the term themselves."""
        try:
            outcomes = await self._log.append_all([one.item for one in sent])
        except (Rejected, LogUnavailable):
            # The log would not take one of them; the others, stored or not, can be sent again.
            for one in sent:
                await self._route_alone(plan, one)
            return
        for one, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, AlreadyRecorded):
                self._refused(plan, one.decision, outcome)

    async def _route_alone(self, plan: TermPlan, one: _Sent) -> None:
        if not self._wanted(plan, one):
            return
        try:
            await self._log.append(*one.item)
        except AlreadyRecorded as refusal:
            self._refused(plan, one.decision, refusal)
        except (Rejected, LogUnavailable) as error:
            self._put_off(plan, one.decision, error)

    async def _close(self, plan: TermPlan, sent: list[_Sent]) -> None:
        """Ends and questions carry the guard of the job head; the server takes one guard a message,
        so that of the term goes on a fact of its own, in one batch with them.

        A batch with one refused fact stores none: halves find out which.
        """
        wanted = [one for one in sent if self._wanted(plan, one)]
        if not wanted:
            return
        again = LogRouter(id=new_id(), by=self._by, term=plan.term, again=True)
        term = Append(again, subjects.latest_term(plan.term))
        try:
            await self._log.append_together([term, *(one.item for one in wanted)])
        except (AlreadyRecorded, Rejected, LogUnavailable) as error:
            if len(wanted) > 1 and not _overtaken(error):
                half = len(wanted) // 2
                await self._close(plan, wanted[:half])
                await self._close(plan, wanted[half:])
            elif isinstance(error, AlreadyRecorded):
                self._refused(plan, wanted[0].decision, error)
            else:
                self._put_off(plan, wanted[0].decision, error)

    def _wanted(self, plan: TermPlan, one: _Sent) -> bool:
        """Whether the plan still holds, and the fact is not folded yet."""
        return self._reign.lasts(plan) and plan.awaits(one.decision.key)

    def _refused(self, plan: TermPlan, decision: Decision, refusal: AlreadyRecorded) -> None:
        if not self._reign.lasts(plan):
            return
        record = refusal.record
        log.debug("router_overtaken", subject=refusal.subject, by=record and record.subject)
        if record is None:
            raise LogMismatch(f"{refusal.subject}: the log has lost the fact it was guarded by")
        if _overtaken(refusal):
            self._reign.end()
            return
        plan.refused(decision.key, record.seq, self._reign.moment())
        self._reign.wake()

    def _put_off(self, plan: TermPlan, decision: Decision, error: Exception) -> None:
        """A fact that the log won't take is decided anew later."""
        log.warning("router_fact_refused", task=decision.key, error=str(error))
        if self._reign.lasts(plan):
            plan.set_aside(decision.key, self._reign.moment())
            self._reign.wake()


def _overtaken(error: Exception) -> bool:
    """Whether it is a later term that has refused the fact."""
    known = error.record if isinstance(error, AlreadyRecorded) else None
    return known is not None and subjects.matches(subjects.ROUTERS, known.subject)
