"""From facts to what a client sees: a task's status and its view.

Pure, and the only place where the mapping is written.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contracts import subjects
from contracts.asks import TaskAnswered, TaskAsked, TaskQuestion, question
from contracts.facts import (
    Failure,
    JobDone,
    JobFailed,
    JobSigned,
    Outcome,
    Record,
    ResultDeleted,
    ResultStored,
    TaskCancelled,
    TaskCreated,
    TaskRouted,
    TaskTagged,
    Unknown,
)
from contracts.result import Result
from contracts.task import TaskSpec


class Status(StrEnum):
    """Status of a task at the API: four while it lives, then its outcome."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    INPUT_REQUIRED = "input_required"
    """It has asked something and waits for the answer."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    REJECTED = "rejected"


OVER = frozenset(
    {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.TIMED_OUT, Status.REJECTED}
)


_TOLD = (TaskRouted, TaskAsked, TaskAnswered, JobSigned, JobFailed, JobDone)
"""What tells where the task is."""


class TaskView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A task as the API shows it; times are seconds since the epoch, log time."""

    id: str
    user: str
    type: str
    status: Status
    spec: TaskSpec
    seq: int
    """Sequence of the task's latest fact."""
    created_seq: int
    created_at: float
    updated_at: float
    done_at: float | None = None
    attempt: int = 0
    host: str = ""
    cancel_requested: bool = False
    result: Result | None = None
    """What the host answered; of a failed attempt the tool's own error answer, if there was one."""
    error: Failure | None = None
    last_failure: Failure | None = None
    """Why the latest attempt failed, while the task goes on."""
    remarks: tuple[str, ...] = ()
    """What people should know of its success, such as what was left out of an archive."""
    asked_by: str = ""
    """On whose authority, as in `task.created`."""
    project: str = ""
    """The project it belongs to; empty: none."""
    from_: str = msgspec.field(name="from", default="")
    """Not empty: the result is that of this earlier task, given again; `-`: of another user's."""
    waiting: str = ""
    """What it waits for while it has no host, such as `host X is unhealthy: REASON`, while it asks
    something, or while its latest fact can't be read by this release; empty: for its turn only, or
    for nothing."""
    question: TaskQuestion | None = None
    """What it asks, while it waits for the answer."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """As they are now; `spec` has those it was created with."""
    again: str = ""
    """Not empty: the task that this one repeats."""
    batch: str = ""
    """The batch that it belongs to; empty: none."""

    @property
    def over(self) -> bool:
        """Whether the task has its outcome."""
        return self.status in OVER


def begin(record: Record, fact: TaskCreated) -> TaskView:
    """The view of a task that was just created."""
    return TaskView(
        id=fact.task,
        user=fact.user,
        type=fact.spec.type,
        status=Status.PENDING,
        spec=fact.spec,
        seq=record.seq,
        created_seq=record.seq,
        created_at=record.at,
        updated_at=record.at,
        asked_by=fact.asked_by,
        project=fact.project,
        tags=fact.spec.tags,
        again=fact.spec.again or "",
        batch=fact.spec.batch or "",
    )


def evolve(view: TaskView, record: Record) -> TaskView:
    """Apply a later fact of the same task. Total: what does not change the view leaves it."""
    replace = msgspec.structs.replace
    told = isinstance(record.fact, _TOLD)
    waiting = "" if told else view.waiting
    asked = None if told else view.question
    running = view.status is Status.RUNNING
    held = view.question is not None and view.question.held
    view = replace(view, seq=record.seq, updated_at=record.at, waiting=waiting, question=asked)
    match record.fact:
        case TaskCancelled():
            return replace(view, cancel_requested=True)
        case TaskTagged() as fact:
            return replace(view, tags=fact.tags)
        case TaskRouted() as fact:
            return replace(
                view,
                status=Status.QUEUED,
                attempt=fact.attempt,
                host=fact.route.host,
                result=None,
            )
        case TaskAsked() as fact:
            # The attempt that has asked goes on, or has ended in front of the question.
            asked, why = question(fact, record.at, held=running or held), answer_to(fact)
            return replace(view, status=Status.INPUT_REQUIRED, question=asked, waiting=why)
        case TaskAnswered():
            return replace(view, status=Status.RUNNING if held else Status.QUEUED)
        case JobSigned() as fact:
            return replace(view, status=Status.RUNNING, attempt=fact.attempt, host=fact.host)
        case JobFailed() as fact:
            failure = Failure(fact.kind, fact.message)
            return replace(view, status=Status.QUEUED, last_failure=failure, result=fact.result)
        case JobDone() as fact:
            return _ended(view, fact, record.at)
        case ResultStored() as fact:
            # What was deleted while it moved stays deleted.
            return replace(view, result=fact.pointer) if view.result is not None else view
        case ResultDeleted():
            return replace(view, result=None)
        case Unknown() as fact if not view.over:
            why = f"a release that can read what sequence {record.seq} says of it: {fact.why}"
            over = subjects.ended(record) is not None
            return replace(view, waiting=why, done_at=record.at if over else view.done_at)
        case _:
            return view


def _ended(view: TaskView, fact: JobDone, at: float) -> TaskView:
    return msgspec.structs.replace(
        view,
        status=of_outcome(fact.outcome),
        attempt=fact.attempt or view.attempt,
        host=fact.host or (fact.earlier.host if fact.earlier else view.host),
        from_=fact.from_,
        result=fact.result or view.result,
        error=fact.error,
        done_at=at,
        remarks=fact.remarks,
    )


def fold(records: list[Record]) -> TaskView | None:
    """The view from all facts of one task, in log order; None without its `task.created`."""
    view: TaskView | None = None
    for record in records:
        if isinstance(record.fact, TaskCreated):
            view = begin(record, record.fact)
        elif view is not None:
            view = evolve(view, record)
    return view


def unrouted(records: list[Record]) -> TaskCreated | None:
    """How the task was created that has no host now, from all its facts; None: it has, or is
    over."""
    created, routed = None, False
    for record in records:
        match record.fact:
            case TaskCreated() as fact:
                created = fact
            case TaskRouted():
                routed = True
            case TaskAsked():
                # It waits for a person.
                routed = True
            case JobFailed() | TaskAnswered():
                routed = False
            case Unknown():
                # Where it is now is not known.
                routed = True
            case JobDone():
                return None
    return None if routed else created


def asking(records: list[Record]) -> TaskAsked | None:
    """The question that a task waits with, from all its facts."""
    latest = next((r.fact for r in reversed(records) if isinstance(r.fact, _TOLD)), None)
    return latest if isinstance(latest, TaskAsked) else None


def answer_to(fact: TaskAsked) -> str:
    """What the task waits for then, in words."""
    return f"an answer to: {fact.message}"


def of_outcome(outcome: Outcome) -> Status:
    """The status a client sees for an outcome: the same word."""
    return Status(outcome.value)
