"""Small facts for tests, with ids of their own."""

from __future__ import annotations

import itertools
import os
from typing import Any

from contracts.asks import AnswerAction, QuestionKind, TaskAnswered, TaskAsked
from contracts.facts import (
    FailureKind,
    JobDone,
    JobFailed,
    JobSigned,
    Outcome,
    TaskCancelled,
    TaskCreated,
    TaskRouted,
)
from contracts.route import Candidate, Policy, Route
from contracts.tags import TaskTagged
from contracts.task import TaskSpec
from services.log.port import Checkpoint, Log, name_of
from services.process.ids import new_id

_numbers = itertools.count()


def name(prefix: str = "t") -> str:
    """A token nobody else uses, not even another test run on the same server."""
    return f"{prefix}{os.getpid()}-{next(_numbers)}"


def created(user: str = "alice", task: str | None = None, **fields: Any) -> TaskCreated:
    spec = fields.pop("spec", None) or TaskSpec(type="mcp.call")
    return TaskCreated(id=new_id(), by="test", user=user, task=task or name(), spec=spec, **fields)


def cancelled(user: str, task: str) -> TaskCancelled:
    return TaskCancelled(id=new_id(), by="test", user=user, task=task)


def asked(user: str, task: str, q: int = 1, **fields: Any) -> TaskAsked:
    known: dict[str, Any] = {
        "kind": QuestionKind.APPROVAL,
        "message": "May tool x of host h1 be called?",
        "timeout_s": 100.0,
        "host": "h1",
        "tool": "x",
    }
    return TaskAsked(id=new_id(), by="test", user=user, task=task, q=q, **known | fields)


def answered(user: str, task: str, q: int = 1, **fields: Any) -> TaskAnswered:
    known: dict[str, Any] = {"action": AnswerAction.ACCEPT, "answered_by": user}
    return TaskAnswered(id=new_id(), by="test", user=user, task=task, q=q, **known | fields)


def tagged(user: str, task: str, k: int = 1, **fields: Any) -> TaskTagged:
    return TaskTagged(id=new_id(), by="test", user=user, task=task, k=k, **fields)


def signed(user: str, task: str, attempt: int = 1, **fields: Any) -> JobSigned:
    known: dict[str, Any] = {
        "host": "h1",
        "input_sha256": "0" * 64,
        "executor": "executor-1",
        "incarnation": "i1",
        "expires": 2e9,
        "permit": "p",
    }
    return JobSigned(
        id=new_id(), by="test", user=user, task=task, attempt=attempt, **known | fields
    )


def failed(user: str, task: str, attempt: int = 1, **fields: Any) -> JobFailed:
    known: dict[str, Any] = {"host": "h1", "kind": FailureKind.TOOL}
    return JobFailed(
        id=new_id(), by="test", user=user, task=task, attempt=attempt, **known | fields
    )


def done(user: str, task: str, outcome: Outcome = Outcome.SUCCEEDED, **fields: Any) -> JobDone:
    return JobDone(id=new_id(), by="test", user=user, task=task, outcome=outcome, **fields)


def routed(user: str, task: str, attempt: int = 1, host: str = "h1") -> TaskRouted:
    route = Route(
        host=host,
        host_seq=1,
        basis=1,
        now=1.0,
        term=1,
        policy=Policy(1, ""),
        input_sha256="0" * 64,
        candidates=(Candidate(host, 0.9),),
        removed={"type": ("other",)},
    )
    return TaskRouted(id=new_id(), by="test", user=user, task=task, attempt=attempt, route=route)


async def here(log: Log) -> Checkpoint:
    """Where the log ends now."""
    seq = await log.head()
    found = await log.at(seq) if seq else None
    return Checkpoint(log.epoch, seq, name_of(found) if found else "")
