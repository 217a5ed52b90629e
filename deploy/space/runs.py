"""Runs each permit at most once, and answers a repeated one with the first answer.

What began is on disk before the tool is called, what came of it before it is sent.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection
from enum import Enum, auto

import wire
from store import INLINE, Ask, Known, Store, Work
from wire import Answer, Refused

LINGER_S = 0.4
"""A run that nobody waits for any more is cancelled after this: who was cut off may come back.
METAMCP_LINGER_MS may say another."""

Call = Callable[[], Awaitable[Answer]]
"""Does the work. Cancelling it cancels the tool."""

log = logging.getLogger("space")


class Verdict(Enum):
    """What to do with a request."""

    GIVE = auto()
    """The permit has its answer."""
    JOIN = auto()
    """The same work is going on."""
    START = auto()
    """Nobody does this work: use what another attempt has got, or begin."""
    UNKNOWN = auto()
    """The permit was used, and what came of it is not known."""
    FOREIGN = auto()
    """The permit was used for other work."""


def judge(ask: Ask, known: Known | None, running: bool, at_run: bool) -> Verdict:
    """Decide. `running`: this work is going on; `at_run`: and under this very permit as well."""
    if known is None:
        return Verdict.JOIN if running else Verdict.START
    if known.work != ask.work:
        return Verdict.FOREIGN
    if known.answer is not None:
        return Verdict.GIVE
    return Verdict.JOIN if at_run else Verdict.UNKNOWN


class _Permit:
    """One permit at a run; its answer may differ from that of others by its own time limit."""

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.timer = timer
        self.waiting = 0
        """Requests that wait for the answer."""


class _Run:
    """Some work that is going on, for one or more permits."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.permits: dict[str, _Permit] = {}
        self.task: asyncio.Task[None]
        self.linger: asyncio.TimerHandle | None = None
        self.called = False
        """The call has returned, and its answer is being stored."""

    @property
    def wanted(self) -> bool:
        return any(permit.waiting for permit in self.permits.values())


class Seat:
    """One request's place at a run. Leave it when the client has gone, or the answer is there."""

    def __init__(self, runs: Runs, run: _Run, permit: _Permit) -> None:
        self._runs = runs
        self._run = run
        self._permit = permit
        permit.waiting += 1

    @property
    def answer(self) -> asyncio.Future[Answer]:
        """Never cancel it: others may wait for it too."""
        return self._permit.answer

    def leave(self) -> None:
        """Nobody waits here any more."""
        self._permit.waiting -= 1
        self._runs.left(self._run)

    def cut(self) -> Answer:
        """The Space is being stopped and can't wait any longer: the answer to give."""
        self._runs.cut(self._run)
        return self.answer.result() if self.answer.done() else wire.OUTCOME_UNKNOWN


class Runs:
    """All runs of this Space."""

    def __init__(
        self,
        store: Store,
        slots: int,
        *,
        linger_s: float = LINGER_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """At most `slots` runs at the same time."""
        self._store = store
        self._slots = slots
        self._linger_s = linger_s
        self._clock = clock
        self._running: dict[Work, _Run] = {}
        self._busy: set[asyncio.Task[None]] = set()
        """Tasks of runs, those included that have been cancelled and are cleaning up."""
        self._closing = False

    @property
    def count(self) -> int:
        """Slots in use."""
        return len(self._busy)

    def enter(self, ask: Ask, timeout_s: float, prepare: Callable[[], Call]) -> Answer | Seat:
        """Answer at once, or give a seat at the run that will.

        `prepare` is called only if the work has to be begun. It raises Refused if it can't be; then
        nothing is noted, and the permit may be used later. Nothing is awaited here, so no request
        can come between what was looked up and what is done about it. Raises Refused.
        """
        try:
            return self._enter(ask, timeout_s, prepare)
        except (OSError, sqlite3.Error) as error:
            log.exception("METAMCP_STATE can't be used")
            text = "the Space can't write to its disk; nothing was run"
            raise Refused(503, "starting", text, retry_after_s=5) from error

    def _enter(self, ask: Ask, timeout_s: float, prepare: Callable[[], Call]) -> Answer | Seat:
        known = self._store.find(ask.work.user, ask.jti)
        run = self._running.get(ask.work)
        match judge(ask, known, run is not None, run is not None and ask.jti in run.permits):
            case Verdict.GIVE:
                assert known is not None
                assert known.answer is not None
                return known.answer
            case Verdict.UNKNOWN:
                return wire.OUTCOME_UNKNOWN
            case Verdict.FOREIGN:
                raise Refused(401, "bad_permit", f"permit {ask.jti} was used for another input")
            case Verdict.JOIN:
                assert run is not None
                return self._join(run, ask, timeout_s)
            case Verdict.START:
                return self._store.reuse(ask) or self._start(ask, timeout_s, prepare)

    def left(self, run: _Run) -> None:
        """Somebody has left: cancel the run soon, if nobody else waits for it."""
        if self._unwanted(run) and run.linger is None:
            loop = asyncio.get_running_loop()
            run.linger = loop.call_later(self._linger_s, self._abandon, run)

    def cut(self, run: _Run) -> None:
        """Stop a run. Its permits stay begun: what came of it is not known."""
        if self._running.get(run.work) is run and not run.called:
            self._settle(run, wire.OUTCOME_UNKNOWN)
            run.task.cancel()

    async def close(self) -> None:
        """Stop all runs, begin no others, and wait until they are over."""
        self._closing = True
        for run in tuple(self._running.values()):
            self.cut(run)
        if self._busy:
            await asyncio.wait(self._busy)

    def _start(self, ask: Ask, timeout_s: float, prepare: Callable[[], Call]) -> Seat:
        if self._closing:
            raise Refused(503, "starting", "the Space is being restarted", retry_after_s=2)
        call = prepare()
        if len(self._busy) >= self._slots:
            text = f"all {self._slots} slots are in use"
            raise Refused(429, "busy", text, retry_after_s=1)
        run = _Run(ask.work)
        seat = self._join(run, ask, timeout_s)
        self._running[ask.work] = run
        run.task = asyncio.create_task(self._carry_out(run, call), name=f"run-{ask.jti}")
        self._busy.add(run.task)
        run.task.add_done_callback(self._busy.discard)
        return seat

    def _join(self, run: _Run, ask: Ask, timeout_s: float) -> Seat:
        if ask.jti not in run.permits:
            left = min(timeout_s, ask.exp - self._clock())
            if left <= 0:
                raise Refused(504, "timeout", "the permit has no time left")
            self._store.begin(ask)
            timer = asyncio.get_running_loop().call_later(left, self._expire, run, ask.jti, left)
            run.permits[ask.jti] = _Permit(timer)
        if run.linger is not None:
            run.linger.cancel()
            run.linger = None
        return Seat(self, run, run.permits[ask.jti])

    async def _carry_out(self, run: _Run, call: Call) -> None:
        began = time.monotonic()
        try:
            answer = await call()
        except asyncio.CancelledError:
            # Whoever has cancelled it has settled it.
            return
        except Exception:
            log.exception("run of task %s failed", run.work.task)
            answer = wire.failure(500, "internal", "the Space has a fault; its log says which")
        if self._running.get(run.work) is not run:
            return
        run.called = True
        for permit in run.permits.values():
            permit.timer.cancel()
        if isinstance(answer.body, bytes) and len(answer.body) > INLINE:
            answer = await self._spool(answer, answer.body)
        answer = self._note(run, run.permits, answer)
        self._settle(run, answer)
        took, work = time.monotonic() - began, run.work
        log.info("task %s of %s: %d after %.2f s", work.task, work.user, answer.status, took)

    async def _spool(self, answer: Answer, body: bytes) -> Answer:
        """The answer with its body in a file."""
        try:
            return answer._replace(body=await asyncio.to_thread(self._store.spool, body))
        except OSError:
            log.exception("an answer of %d bytes can't be stored", len(body))
            return wire.OUTCOME_UNKNOWN

    def _note(self, run: _Run, jtis: Collection[str], answer: Answer) -> Answer:
        """Store the answer of these permits, and return the one to send."""
        try:
            if jtis:
                self._store.finish(run.work.user, jtis, answer)
        except (OSError, sqlite3.Error):
            # What can't be given a second time must not be given a first time.
            log.exception("the answer of task %s can't be stored", run.work.task)
            return wire.OUTCOME_UNKNOWN
        return answer

    def _unwanted(self, run: _Run) -> bool:
        """Whether it goes on, and nobody waits for it."""
        return self._running.get(run.work) is run and not run.called and not run.wanted

    def _settle(self, run: _Run, answer: Answer) -> None:
        """The run is over: tell all who wait."""
        del self._running[run.work]
        for permit in run.permits.values():
            permit.timer.cancel()
            permit.answer.set_result(answer)
        if run.linger is not None:
            run.linger.cancel()

    def _abandon(self, run: _Run) -> None:
        """Cancel the run, unless somebody wants it again."""
        if self._unwanted(run):
            self._settle(run, self._note(run, run.permits, wire.CANCELLED))
            run.task.cancel()
            log.info("task %s of %s is stopped: nobody waits", run.work.task, run.work.user)

    def _expire(self, run: _Run, jti: str, after_s: float) -> None:
        """A permit's time is over; the run goes on for the others."""
        timeout = wire.failure(504, "timeout", f"not done after {after_s:.3g} s")
        answer = self._note(run, (jti,), timeout)
        run.permits.pop(jti).answer.set_result(answer)
        if run.linger is None:
            self._abandon(run)
