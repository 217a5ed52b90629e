"""What is known about one attempt of a task while it is here."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, TypeAlias

from prometheus_client import Histogram

from contracts.facts import JobDone, JobFailed, Outcome, TaskCreated, TaskRouted
from contracts.task import TaskSpec
from services.bus import metrics
from services.executor.attempt.call import Call
from services.executor.attempt.plan import KnownHost
from services.log.port import Delivery
from services.process import tracing

Name: TypeAlias = tuple[str, str]
"""User and id of a task."""
Ending: TypeAlias = JobDone | JobFailed
UNKNOWN = TaskSpec(type="unknown")

ATTEMPTS = Histogram(
    "metamcp_attempt_seconds",
    "From the claim of an attempt to its end, by outcome or kind of failure.",
    ["end"],
    buckets=metrics.SECONDS,
)


class Asked(NamedTuple):
    """What users want, as the log says."""

    created: dict[Name, TaskCreated]
    cancelled: dict[Name, str]
    """Reasons of those who have changed their minds."""
    unread: set[Name]
    """Tasks that this release can't read."""


class Attempt:
    """What is known about one attempt while it is here."""

    __slots__ = (
        *("budget_s", "call", "calling", "cancelled", "claimed_at", "created", "cut", "deadline"),
        *("delivery", "known", "permit", "reading", "reported_at", "routed", "seq", "span"),
        *("task", "trace"),
    )

    def __init__(self, routed: TaskRouted, delivery: Delivery) -> None:
        self.routed = routed
        self.delivery = delivery
        self.span = tracing.begin(
            "run task",
            delivery.headers.get("traceparent", ""),
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
        self.known: KnownHost
        self.permit = ""
        self.budget_s = 0.0
        self.deadline = 0.0
        """Monotonic time after which nothing is called and no success written."""
        self.claimed_at = 0.0
        """Monotonic time at which the claim was sent."""
        self.seq = 0
        """Sequence of its `job.signed`; 0 until it is claimed."""
        self.call: Call | None = None
        self.task: asyncio.Task[None] | None = None
        self.calling = False
        self.cancelled: str | None = None
        """The user's reason, once he has asked to cancel."""
        self.cut = False
        """This executor is stopping and can't wait any longer."""
        self.reported_at = 0.0

    @property
    def spec(self) -> TaskSpec:
        """What was asked for; with nothing special about it as long as that is not known."""
        return self.created.spec if self.created is not None else UNKNOWN

    def interrupt(self) -> None:
        """Stop the call, if there is one going on."""
        if self.calling and self.task is not None:
            self.task.cancel()

    def ended(self, fact: Ending) -> None:
        """Count the end that stands in the log now."""
        end = fact.outcome.value if isinstance(fact, JobDone) else fact.kind.value
        ATTEMPTS.labels(end).observe(fact.elapsed_ms / 1000)
        self.span.note(end=end)
        if not is_success(fact):
            self.span.fail(end)


def is_success(fact: Ending) -> bool:
    """Whether this says that the task has succeeded."""
    return isinstance(fact, JobDone) and fact.outcome is Outcome.SUCCEEDED
