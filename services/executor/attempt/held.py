"""Calls that their hosts hold open while a person is asked: they take no slot and no time.

What is asked stands in the log first. A call that ends meanwhile asks nobody any more.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from contracts import subjects
from contracts.asks import AnswerAction, TaskAnswered, TaskAsked
from contracts.facts import Record
from services.executor.attempt import inquiry
from services.executor.attempt.asks import taken
from services.executor.attempt.attempt import Attempt
from services.executor.attempt.call import Call
from services.executor.attempt.deadlines import Deadlines
from services.executor.attempt.inquiry import HostQuestion, NobodyAsked
from services.executor.attempt.patience import patiently
from services.log.port import AlreadyRecorded, Log, LogUnavailable
from services.process.ids import new_id

UNSTORED = "what its host asks could not be stored"

Said = tuple[AnswerAction, dict[str, Any]]


def _nothing() -> None:
    """Nobody counts slots."""


class HeldCalls:
    """The calls of one executor that wait for answers, at most so many."""

    def __init__(self, log_: Log, deadlines: Deadlines, by: str, most: int) -> None:
        self._log = log_
        self._deadlines = deadlines
        self._by = by
        self._most = most
        self._waiting: dict[tuple[str, str, int], asyncio.Future[Record]] = {}
        self.count = 0
        """How many there are."""
        self.on_held: Callable[[], None] = _nothing
        """A call has given its slot back …"""
        self.on_resumed: Callable[[], None] = _nothing
        """… and has one again."""

    def answered(self, record: Record, fact: TaskAnswered) -> None:
        """Take note of an answer in the log."""
        waiting = self._waiting.get((fact.user, fact.task, fact.q))
        if waiting is not None and not waiting.done():
            waiting.set_result(record)

    async def ask(self, attempt: Attempt, call: Call, question: HostQuestion) -> Said:
        """Ask, and wait for the answer. Raises NobodyAsked, with words for the host."""
        if attempt.asking is None:
            attempt.asking = asyncio.Lock()
        async with attempt.asking:
            if self.count >= self._most:
                text = f"{self.count} calls wait for answers here, the most there may be"
                raise NobodyAsked(f"nobody is asked: {text}. Call again later")
            self.count += 1
            try:
                return await self._asked(attempt, call, question)
            finally:
                self.count -= 1

    async def _asked(self, attempt: Attempt, call: Call, question: HostQuestion) -> Said:
        user, task = attempt.name
        every = subjects.asked(user, task)
        last = await patiently(attempt.course, UNSTORED, lambda: self._log.last(every))
        q = subjects.parse(last.subject).number if last is not None else 0
        guard = subjects.job_head(user, task, attempt.seq)
        while True:
            q += 1
            fact = inquiry.as_fact(attempt.routed, question, q, self._by, new_id())
            key, answer = (user, task, q), asyncio.get_running_loop().create_future()
            # Before the question is there: the answer may come at once.
            self._waiting[key] = answer
            try:
                store = partial(self._log.append, fact, guard, attempt.trace)
                seq = await patiently(attempt.course, UNSTORED, store)
                return await self._waited(attempt, call, fact, seq, answer)
            except AlreadyRecorded as error:
                if (q := taken(error)) == 0:
                    raise NobodyAsked("nobody is asked: the attempt is over") from error
            finally:
                del self._waiting[key]

    async def _waited(
        self,
        attempt: Attempt,
        call: Call,
        fact: TaskAsked,
        seq: int,
        answer: asyncio.Future[Record],
    ) -> Said:
        """Wait; deadlines stand still, and slots are for others."""
        began, before = time.monotonic(), call.held_s
        self._deadlines.release(attempt)
        call.deadline = call.held_s = math.inf
        attempt.course.held = True
        call.lend()
        self.on_held()
        paused_s = fact.timeout_s
        try:
            async with asyncio.timeout(fact.timeout_s):
                record = await answer
            attempt.course.held = False
            paused_s = await self._paused_s(seq, record, began)
        except TimeoutError:
            host = attempt.routed.route.host
            text = f"nobody has answered within {fact.timeout_s:g} s what host {host} has asked"
            attempt.course.unanswered = text
            attempt.expire()
            raise NobodyAsked(text) from None
        except asyncio.CancelledError:
            paused_s = min(time.monotonic() - began, fact.timeout_s)
            raise
        finally:
            self.on_resumed()
            call.take()
            attempt.deadline += paused_s
            call.deadline, call.held_s = attempt.deadline, before + paused_s
            if attempt.calling and not attempt.expired:
                self._deadlines.watch(attempt)
        said = record.fact
        assert isinstance(said, TaskAnswered)
        return said.action, said.content

    async def _paused_s(self, seq: int, answered: Record, began: float) -> float:
        """How long it has waited, as the router sees it: by the log's clock."""
        try:
            asked = await self._log.at(seq)
        except LogUnavailable:
            asked = None
        if asked is None:
            return time.monotonic() - began
        return max(0.0, answered.at - asked.at)
