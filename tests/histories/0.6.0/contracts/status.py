"""From facts to what a client sees: a task's status and its view.

Pure, and the only place where the mapping is written.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contracts import subjects
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
    Unknown,
)
from contracts.result import Result
from contracts.task import TaskSpec


class Status(StrEnum):
    """Status of a task at the API: three while it lives, then its outcome."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    REJECTED = "rejected"


OVER = frozenset(
    {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.TIMED_OUT, Status.REJECTED}
)


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
    waiting: str = ""
    """What it waits for while it has no host, such as `host X is unhealthy: REASON`, or while its
    latest fact can't be read by this release; empty: for its turn only, or for nothing."""

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
    )


def evolve(view: TaskView, record: Record) -> TaskView:
    """Apply a later fact of the same task. Total: what does not change the view leaves it."""
    replace = msgspec.structs.replace
    told = isinstance(record.fact, TaskRouted | JobSigned | JobFailed | JobDone)
    waiting = "" if told else view.waiting
    view = replace(view, seq=record.seq, updated_at=record.at, waiting=waiting)
    match record.fact:
        case TaskCancelled():
            return replace(view, cancel_requested=True)
        case TaskRouted() as fact:
            return replace(
                view,
                status=Status.QUEUED,
                attempt=fact.attempt,
                host=fact.route.host,
                result=None,
            )
        case JobSigned() as fact:
            return replace(view, status=Status.RUNNING, attempt=fact.attempt, host=fact.host)
        case JobFailed() as fact:
            failure = Failure(fact.kind, fact.message)
            return replace(view, status=Status.QUEUED, last_failure=failure, result=fact.result)
        case JobDone() as fact:
            return replace(
                view,
                status=of_outcome(fact.outcome),
                attempt=fact.attempt or view.attempt,
                host=fact.host or view.host,
                result=fact.result or view.result,
                error=fact.error,
                done_at=record.at,
                remarks=fact.remarks,
            )
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
            case JobFailed():
                routed = False
            case Unknown():
                # Where it is now is not known.
                routed = True
            case JobDone():
                return None
    return None if routed else created


def of_outcome(outcome: Outcome) -> Status:
    """The status a client sees for an outcome: the same word."""
    return Status(outcome.value)
