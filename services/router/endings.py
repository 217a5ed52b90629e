"""The fact with which the router ends a task, or an attempt whose executor is gone, and its guard.
Pure."""

from __future__ import annotations

from contracts import subjects
from contracts.facts import FailureKind, JobDone, JobFailed, Outcome
from contracts.replay import replayable
from contracts.route import OF_ANOTHER
from contracts.subjects import Guard
from services.router.again import GiveAgain
from services.router.domain import End, Lose
from services.router.select import HostEntry
from services.router.state import OpenTask, Phase


def closing(
    task: OpenTask, step: End | Lose | GiveAgain, host: HostEntry | None, id_: str, by: str
) -> JobDone | JobFailed:
    """Write the step down; `host`: that of the attempt, if it is there still."""
    if isinstance(step, GiveAgain):
        return _given(task, step, id_, by)
    if isinstance(step, End):
        return JobDone(
            id=id_,
            by=by,
            user=task.user,
            task=task.task,
            outcome=step.outcome,
            attempt=task.attempt,
            host=task.host,
            input_sha256=task.digest,
            error=step.error,
        )
    return JobFailed(
        id=id_,
        by=by,
        user=task.user,
        task=task.task,
        attempt=task.attempt,
        host=task.host,
        kind=FailureKind.LOST,
        message=step.message,
        retryable=host is not None and replayable(host.spec, task.need.type),
    )


def _given(task: OpenTask, step: GiveAgain, id_: str, by: str) -> JobDone:
    """No attempt ran, and so no host is named but for where the result comes from."""
    answer = step.answer
    return JobDone(
        id=id_,
        by=by,
        user=task.user,
        task=task.task,
        outcome=Outcome.SUCCEEDED,
        input_sha256=task.digest,
        result=answer.result,
        remarks=answer.remarks,
        from_=answer.task if answer.user == task.user else OF_ANOTHER,
        earlier=step.earlier,
    )


def guard_of(task: OpenTask) -> Guard:
    """What must still be so: nothing has happened to its attempts; nobody has answered, where an
    answer is waited for, as nobody acts on the task meanwhile."""
    if task.phase is Phase.ASKED and task.asked is not None:
        return subjects.unanswered(task.user, task.task, task.asked.q)
    return subjects.job_head(task.user, task.task, task.head)
