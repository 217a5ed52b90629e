"""What a task asks and what it is answered: a host that wants to know more, a policy that wants a
person's yes. Facts like those in `contracts.facts`.

Both are guarded by the job head, so nothing is asked or answered once the task is over.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from contracts.fact import Fact
from contracts.host import Access

SCHEMA_BYTES = 16 * 1024
"""Of the JSON Schema of an answer."""
CONTENT_BYTES = 16 * 1024
"""Of an answer."""
STATE_BYTES = 64 * 1024
"""Of what a host wants back beside the answer."""


class QuestionKind(StrEnum):
    """What a question is about."""

    APPROVAL = "approval"
    """May this tool be called?"""
    INPUT = "input"
    """The host wants to know more."""


class AnswerAction(StrEnum):
    """What was said."""

    ACCEPT = "accept"
    DECLINE = "decline"
    CANCEL = "cancel"
    """Neither yes nor no: a task that waits for approval ends, a host that has asked is told."""


class TaskAsked(Fact, frozen=True, kw_only=True, tag="task.asked", gc=False):
    """The task waits for an answer; until then it holds no slot, and its deadline stands still."""

    user: str
    task: str
    q: int
    """Counts this task's questions up from 1."""
    kind: QuestionKind
    """What it is about."""
    message: str
    """For people; at most 4 KiB."""
    timeout_s: float
    """From this fact on, by log time; then nobody can answer any more."""
    schema: dict[str, Any] = msgspec.field(default_factory=dict)
    """JSON Schema of an answer's `content`, at most 16 KiB; empty: there is none."""
    approvers: Access | None = None
    """Who may answer; None: the task's user, and admins."""
    attempt: int = 0
    """The one that has asked; of an approval the one before that which is asked for."""
    host: str = ""
    tool: str = ""
    """Empty: not known, as where the input is in the object store."""
    input_sha256: str = ""
    """Digest of the task's input: an approval is good for this host, tool and input alone."""
    state: str = ""
    """Opaque: what the host wants back with the answer; at most 64 KiB."""
    url: str = ""
    """Not empty: the host wants this page to be visited, and no `content`."""
    keys: tuple[str, ...] = ()
    """What the host calls what it asks for, in order. Of one, the answer's `content` is what is
    wanted; of several, `schema` has one property for each, and what is left out is declined."""
    calls: int = 0
    """Tools that the attempt had called before the one that asks."""


class TaskAnswered(Fact, frozen=True, kw_only=True, tag="task.answered", gc=False):
    """Question `q` is answered, which happens once."""

    user: str
    task: str
    q: int
    """Number of the question."""
    action: AnswerAction
    """What was said."""
    content: dict[str, Any] = msgspec.field(default_factory=dict)
    """Of `accept`: fits the question's schema; at most 16 KiB."""
    reason: str = ""
    """Of the others: why, in the words of whoever said so; at most 4 KiB."""
    answered_by: str = ""
    """The user who did."""
    authority: str = ""
    """With what, as `asked_by` of `task.created`."""


class TaskQuestion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a task waits to be told, as the API shows it."""

    q: int
    kind: QuestionKind
    message: str
    asked_at: float
    expires: float
    """Log time, seconds since the epoch: then the task ends without an answer."""
    host: str = ""
    tool: str = ""
    schema: dict[str, Any] = {}
    """JSON Schema of the answer's `content`; empty: none is wanted."""
    url: str = ""
    """Not empty: a page that the host wants to be visited before the answer."""
    keys: tuple[str, ...] = ()
    """Of several things that are asked at once, the properties of `schema`."""
    approvers: Access | None = None
    """Who may answer; None: the task's user, and admins."""
    held: bool = False
    """The host holds its call open meanwhile, and may give up."""


def question(fact: TaskAsked, at: float, *, held: bool = False) -> TaskQuestion:
    """The question as it was asked at log time `at`."""
    return TaskQuestion(
        q=fact.q,
        kind=fact.kind,
        message=fact.message,
        asked_at=at,
        expires=at + fact.timeout_s,
        host=fact.host,
        tool=fact.tool,
        schema=fact.schema,
        url=fact.url,
        keys=fact.keys if len(fact.keys) > 1 else (),
        approvers=fact.approvers,
        held=held,
    )
