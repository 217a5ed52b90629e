"""The fact with which the router ends a task, or an attempt whose executor is gone. Pure."""

from __future__ import annotations

from contracts.facts import FailureKind, JobDone, JobFailed
from contracts.replay import replayable
from services.router.domain import End, Lose
from services.router.select import HostEntry
from services.router.state import OpenTask


def closing(
    task: OpenTask, step: End | Lose, host: HostEntry | None, id_: str, by: str
) -> JobDone | JobFailed:
    """Write the step down; `host`: that of the attempt, if it is there still."""
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
