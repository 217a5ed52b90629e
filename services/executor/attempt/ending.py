"""How an attempt ended that did not succeed: from what stopped it and what was noted on the way.

Pure. Failure kinds, and whether the host was called, are decided here alone.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from contracts.errors import Rejected
from contracts.facts import FailureKind
from services.executor.attempt.call import HostError
from services.executor.attempt.course import Course
from services.executor.attempt.plan import BadInput
from services.packed.names import BadFiles, ForbiddenPath
from services.store.blobs import BlobCorrupt, BlobMissing, StoreError


class Stopped(Exception):
    """The work is not wanted any more, or this executor is stopping: nothing was begun."""


class CalledOff(NamedTuple):
    """The task's user has cancelled it."""

    reason: str


class Broken(NamedTuple):
    """The attempt failed."""

    kind: FailureKind
    message: str
    called: bool | None
    """Was the host called? None: it may have been."""
    transient: bool = False
    """The host says that the same call may succeed later."""
    mistake: bool = False
    """It was the executor's own."""
    shared: bool = False
    """Another call may be the cause, see `JobFailed.shared`."""


def ending(
    course: Course, error: BaseException, budget_s: float, *, late: bool
) -> CalledOff | Broken:
    """Say how the attempt ended that `error` stopped; `late`: because its limit was over."""
    called, death = course.called, course.death
    shared = death is not None and death.shared
    if late:
        text = course.unanswered or f"not done within {budget_s:g} s"
        if course.lacks:
            # Not the host's fault: it was not asked yet, or has answered.
            return Broken(FailureKind.LOST, f"{text}: {course.lacks}", called)
        if death is not None:
            text = f"{text}; {death.how}"
        return Broken(FailureKind.TIMEOUT, text, called, shared=shared)
    match error:
        case HostError():
            reached = course.reached(error.called)
            cut = error.kind is FailureKind.CUT
            return Broken(
                error.kind, error.message, reached, error.transient, shared=cut and shared
            )
        case Stopped() | asyncio.CancelledError():
            if course.cancelled is not None:
                return CalledOff(course.cancelled)
            held = " while the host waited for an answer" if course.held else ""
            return Broken(FailureKind.CUT, f"the executor was stopped{held}", called)
        case BadInput() | BadFiles() | BlobMissing() | BlobCorrupt():
            return Broken(FailureKind.BAD_INPUT, str(error), called)
        case ForbiddenPath():
            return Broken(FailureKind.FORBIDDEN_PATH, str(error), called)
        case Rejected():
            return Broken(FailureKind.TOO_LARGE, error.message, called)
        case StoreError():
            return Broken(FailureKind.LOST, course.lacks or "the store does not answer", called)
        case _:
            # A mistake of ours: what was noted is not to be trusted either.
            text = f"error in the executor: {type(error).__name__}; its log has the rest"
            return Broken(FailureKind.CUT, text, None, mistake=True)
