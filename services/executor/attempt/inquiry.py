"""What a host asks of people, and what the log says of approvals and earlier questions.

Pure: facts and values in, facts and reasons out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from contracts import subjects
from contracts.approval import to_approve
from contracts.asks import AnswerAction, QuestionKind, TaskAnswered, TaskAsked
from contracts.facts import TaskCreated, TaskRouted
from contracts.host import Host
from contracts.task import tool_of

Told: TypeAlias = TaskAsked | TaskAnswered


class NobodyAsked(Exception):
    """Nobody was asked, or nobody has answered; the text says why, for the host."""


class HostQuestion(msgspec.Struct, frozen=True, array_like=True):
    """What a host asks; its sizes are within the limits of `contracts.asks`."""

    tool: str
    message: str
    schema: dict[str, Any] = {}
    url: str = ""
    keys: tuple[str, ...] = ()
    state: str = ""
    calls: int = 0
    """See `TaskAsked`, like the others."""

    def same(self, asked: TaskAsked) -> bool:
        """Whether this was asked before, whatever the host wants back with the answer."""
        now = (self.tool, self.keys, self.message, self.schema, self.url)
        return now == (asked.tool, asked.keys, asked.message, asked.schema, asked.url)


class HostReply(msgspec.Struct, frozen=True, array_like=True):
    """What a host has asked in an earlier attempt, and the answer."""

    asked: TaskAsked
    answered: TaskAnswered


def places(routed: TaskRouted) -> list[str]:
    """Subjects of the questions that the route names, and of their answers."""
    route = routed.route
    if not (route.approved or route.reply):
        return []
    return [
        subject(routed.user, routed.task, q)
        for q in {route.approved, route.reply} - {0}
        for subject in (subjects.asked, subjects.answered)
    ]


def reply(routed: TaskRouted, told: Sequence[Told]) -> HostReply | None:
    """What the call takes along; None: nothing, its host has not asked."""
    if not routed.route.reply:
        return None
    asked, answered = _pair(routed.route.reply, told)
    if asked is None or answered is None or asked.host != routed.route.host:
        return None
    return HostReply(asked, answered) if asked.kind is QuestionKind.INPUT else None


def unread(routed: TaskRouted, told: Sequence[Told]) -> str:
    """Say which question of the route this release can't read; empty: it can read them all."""
    for q in (routed.route.approved, routed.route.reply):
        if q and None in _pair(q, told):
            return f"the executor's release can't read question {q} of the task, or its answer"
    return ""


def unapproved(host: Host, routed: TaskRouted, task: TaskCreated, told: Sequence[Told]) -> str:
    """Say why a person has not allowed this call; empty: it is allowed, or nobody has to.

    The router has looked at the same: a call that nobody has allowed is not made whoever routes it.
    """
    spec = task.spec
    guarded = host.approve or spec.approve
    names = to_approve(host, spec.type, tool_of(spec), every=spec.approve) if guarded else None
    if names is None:
        return ""
    tools, route = ", ".join(names), routed.route
    asked, answered = _pair(route.approved, told)
    what = f"{tools or 'the call'} of host {host.id} may not be called"
    if asked is None or answered is None:
        return f"{what}: a person has to allow it, and the log has no such answer"
    wanted = (QuestionKind.APPROVAL, host.id, tools, route.input_sha256)
    if (asked.kind, asked.host, asked.tool, asked.input_sha256) != wanted:
        return f"{what}: question {asked.q} allows something else"
    if answered.action is not AnswerAction.ACCEPT:
        return f"{what}: {answered.answered_by or 'somebody'} has not allowed it"
    return ""


def as_fact(routed: TaskRouted, question: HostQuestion, q: int, by: str, fact_id: str) -> TaskAsked:
    """The question as a fact."""
    return TaskAsked(
        id=fact_id,
        by=by,
        user=routed.user,
        task=routed.task,
        q=q,
        kind=QuestionKind.INPUT,
        message=question.message,
        timeout_s=routed.route.question_s,
        schema=question.schema,
        attempt=routed.attempt,
        host=routed.route.host,
        tool=question.tool,
        input_sha256=routed.route.input_sha256,
        state=question.state,
        url=question.url,
        keys=question.keys,
        calls=question.calls,
    )


def _pair(q: int, told: Sequence[Told]) -> tuple[TaskAsked | None, TaskAnswered | None]:
    asked, answered = None, None
    for fact in told:
        if q and fact.q == q:
            if isinstance(fact, TaskAsked):
                asked = fact
            else:
                answered = fact
    return asked, answered
