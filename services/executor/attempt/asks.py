"""Writes down what hosts ask: behind the end of an attempt, or while its call is held open."""

from __future__ import annotations

import uuid

from contracts import subjects
from contracts.facts import FailureKind, JobFailed
from services.executor.attempt import inquiry
from services.executor.attempt.attempt import Attempt, Ending
from services.log.port import AlreadyRecorded, Append, Log


async def recorded(
    log: Log, attempt: Attempt, end: Ending, question: inquiry.HostQuestion | None, by: str
) -> None:
    """Append the end of an attempt, and in one piece with it what its host has asked, if it ended
    so. Given again, nothing is stored twice.

    Raises AlreadyRecorded if the attempt was overtaken, and what `Log.append` raises.
    """
    routed = attempt.routed
    guard = subjects.job_head(routed.user, routed.task, attempt.seq)
    asks = isinstance(end, JobFailed) and end.kind is FailureKind.INPUT_REQUIRED
    if question is None or not asks:
        await log.append(end, guard, attempt.trace)
        return
    last = await log.last(subjects.asked(routed.user, routed.task))
    q = subjects.parse(last.subject).number if last is not None else 0
    if last is not None and last.fact.id == _id(end, q):
        return
    while True:
        q += 1
        asked = inquiry.as_fact(routed, question, q, by, _id(end, q))
        together = [Append(end, guard, attempt.trace), Append(asked, trace=attempt.trace)]
        try:
            await log.append_together(together)
        except AlreadyRecorded as error:
            if (q := taken(error)) == 0:
                raise
        else:
            return


def _id(end: Ending, q: int) -> str:
    return str(uuid.uuid5(uuid.UUID(end.id), str(q)))


def taken(error: AlreadyRecorded) -> int:
    """The number of the question that stands where this one was to stand; 0: it is not that."""
    what = subjects.parse(error.record.subject) if error.record is not None else None
    return what.number if what is not None and what.type == "task.asked" else 0
