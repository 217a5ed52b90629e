"""What is known about one attempt of a task while it is here."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, NamedTuple, TypeAlias

from prometheus_client import Histogram

from contracts.facts import JobDone, JobFailed, Outcome, TaskCreated, TaskRouted
from contracts.replay import replayable
from contracts.result import Result
from contracts.task import TaskSpec
from services.bus import metrics
from services.executor.attempt.call import HostError
from services.executor.attempt.course import Course
from services.executor.attempt.inquiry import HostReply, Told
from services.executor.attempt.pace import ReportPace
from services.executor.attempt.plan import AttemptPlan, KnownHost
from services.executor.attempt.said import SaidPace
from services.log.port import Delivery
from services.process import tracing

Name: TypeAlias = tuple[str, str]
"""User and id of a task."""
Key: TypeAlias = tuple[str, str, int]
"""The same and the number of the attempt."""
Ending: TypeAlias = JobDone | JobFailed
UNKNOWN = TaskSpec(type="unknown")

ATTEMPTS = Histogram(
    "metamcp_attempt_seconds",
    "From the claim of an attempt to its end, by outcome or kind of failure.",
    ["end"],
    buckets=metrics.SECONDS,
)


@functools.cache
def _attempts_with(end: str) -> Any:
    """The part of `ATTEMPTS` for one end, of which there are as many as the facts have words."""
    return ATTEMPTS.labels(end)


class Asked(NamedTuple):
    """What users want, as the log says."""

    created: dict[Name, TaskCreated]
    cancelled: dict[Name, str]
    """Reasons of those who have changed their minds."""
    unread: set[Name]
    """Tasks that this release can't read."""
    told: dict[Name, list[Told]]
    """What they have asked, and were answered."""


class ToolRefusal(NamedTuple):
    """A tool's answer that is an error."""

    error: HostError
    kept: Result | None = None
    """Where the answer is kept; None: nowhere, or not yet."""
    why: str = ""
    """Why it can't be kept."""


class Attempt:
    """What is known about one attempt while it is here."""

    __slots__ = (
        *("asking", "began", "budget_s", "calling", "claimed_at", "course", "created", "deadline"),
        *("delivery", "expired", "key", "known", "name", "permit", "plan", "reading"),
        *("pace", "refused", "reply", "routed", "said", "seq", "span", "task", "trace"),
    )

    def __init__(self, routed: TaskRouted, delivery: Delivery) -> None:
        self.routed = routed
        self.name: Name = (routed.user, routed.task)
        self.key: Key = (routed.user, routed.task, routed.attempt)
        self.delivery = delivery
        self.span = tracing.begin(
            "run task",
            delivery.trace,
            tracing.CONSUMER,
            user=routed.user,
            task=routed.task,
            attempt=routed.attempt,
            host=routed.route.host,
        )
        self.trace = self.span.traceparent
        self.reading: asyncio.Task[Asked]
        """What was asked for, on its way."""
        self.created: TaskCreated | None = None
        self.asking: asyncio.Lock | None = None
        """Its host asks one question at a time."""
        self.reply: HostReply | None = None
        """What its host has asked in an earlier one, and the answer."""
        self.known: KnownHost
        self.permit = ""
        self.budget_s = 0.0
        self.deadline = 0.0
        """Monotonic time after which nothing is called and no success written."""
        self.claimed_at = 0.0
        """Monotonic time at which the claim was sent."""
        self.seq = 0
        """Sequence of its `job.signed`; 0 until it is claimed."""
        self.course = Course()
        self.plan: AttemptPlan | None = None
        """What its host is to do, once that is known."""
        self.began = 0.0
        """Monotonic time at which it began to run."""
        self.task: asyncio.Task[None] | None = None
        self.calling = False
        """It may be stopped: it has not come to its end yet."""
        self.expired = False
        """It was interrupted because its deadline has come."""
        self.pace = ReportPace()
        self.said = SaidPace()
        self.refused: ToolRefusal | None = None
        """Its tool has answered with an error, and nothing changes that any more."""

    @property
    def spec(self) -> TaskSpec:
        """What was asked for; with nothing special about it as long as that is not known."""
        return self.created.spec if self.created is not None else UNKNOWN

    @property
    def replayable(self) -> bool:
        """Whether running this twice is harmless, as far as it is known what it is."""
        if self.plan is not None:
            return self.plan.replayable
        return replayable(self.known.host, self.spec.type)

    def cancel(self, reason: str) -> None:
        """Its user does not want it any more."""
        self.course.cancelled = reason
        self._interrupt()

    def cut(self) -> None:
        """This executor is stopping."""
        self.course.cut = True
        self._interrupt()

    def expire(self) -> None:
        """Its deadline has come, and it is under its limit still."""
        self.expired = True
        if self.task is not None:
            self.task.cancel()

    def _interrupt(self) -> None:
        if self.calling and self.task is not None:
            self.task.cancel()

    def absorb(self) -> bool:
        """Take back the cancellation of its task, so that it can write down how this ended.

        False: it came from outside, and stands. A wish to stop counts for more than the limit.
        """
        if self.task is None:
            return False
        if self.calling and self.course.stopped:
            self.expired = False
            while self.task.cancelling():
                self.task.uncancel()
            return True
        return self.expired and self.task.uncancel() == 0

    def ended(self, fact: Ending) -> None:
        """Count the end that stands in the log now."""
        end = fact.outcome.value if isinstance(fact, JobDone) else fact.kind.value
        _attempts_with(end).observe(fact.elapsed_ms / 1000)
        self.span.note(end=end)
        if not is_success(fact):
            self.span.fail(end)


def is_success(fact: Ending) -> bool:
    """Whether this says that the task has succeeded."""
    return isinstance(fact, JobDone) and fact.outcome is Outcome.SUCCEEDED
