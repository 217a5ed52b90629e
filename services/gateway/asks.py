"""What tasks ask of people: who may answer, and what stands in the log then. Pure.

An agent never allows its own calls: approvals are for people who have signed in, and for whoever
holds the installation's own token.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from contracts.approval import may_approve
from contracts.asks import CONTENT_BYTES, AnswerAction, QuestionKind, TaskAnswered, TaskAsked
from contracts.errors import Reason, Rejected
from contracts.facts import JobDone, Record, TaskCreated
from contracts.message import MESSAGE_BYTES
from contracts.nesting import MAX_DEPTH, too_deep
from contracts.permitted import Asker
from contracts.status import asking, fold
from contracts.subjects import parse
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.domain import Origin, no_task
from services.outside.schemas import Invalid, Schema, Unjudged

PERSON = "session:"
"""How `asked_by` begins of somebody who has signed in."""


class AnswerBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer as a client sends it."""

    q: int
    """Number of the question, as the task shows it."""
    action: AnswerAction
    content: dict[str, Any] = {}
    """With `accept`: what the question's schema asks for."""
    reason: str = ""
    """Without: why."""


class AskedStory(NamedTuple):
    """A question, as the facts of its task tell of it."""

    fact: TaskAsked
    created: TaskCreated
    answered: Record | None
    head: int
    """Sequence of the task's last `job.*` fact; 0 if none."""
    status: str
    """Of the task, once it is over; else empty."""
    gone: bool = False
    """The attempt that has asked is over, and nobody waits for the answer."""

    @property
    def answer(self) -> TaskAnswered | None:
        """What was said to it."""
        fact = self.answered.fact if self.answered else None
        return fact if isinstance(fact, TaskAnswered) else None


def find(task: str, records: list[Record], q: int, who: Principal, asker: Asker) -> AskedStory:
    """The question that somebody wants to answer, and may see. Raises Rejected(NOT_FOUND)."""
    created, asked, answered, head = None, None, None, 0
    for record in records:
        what, fact = parse(record.subject), record.fact
        if isinstance(fact, TaskCreated):
            created = fact
        elif isinstance(fact, TaskAsked) and fact.q == q:
            asked = fact
        elif what.type == "task.answered" and what.number == q:
            answered = record
        elif what.type.startswith("job."):
            head = record.seq
    if created is None or (asked is None and created.user != who.user):
        raise no_task(task)
    if asked is None:
        raise Rejected(Reason.NOT_FOUND, f"task {task} has asked no question {q}")
    if created.user != who.user and not _may(asked, who, asker):
        raise no_task(task)
    over = any(isinstance(record.fact, JobDone) for record in records)
    view = fold(records) if over else None
    gone = asking(records) is not asked
    return AskedStory(asked, created, answered, head, str(view.status) if view else "", gone)


def may_answer(asked: TaskAsked, who: Principal, asker: Asker) -> None:
    """Raises NotAllowed for whoever may see the question, and not answer it."""
    if not _may(asked, who, asker):
        raise NotAllowed("approver", f"host {asked.host} says who may allow this: somebody else")
    if asked.kind is QuestionKind.APPROVAL and not in_person(who):
        text = "only a person may allow this: sign in (`metamcp login`), a token is not enough"
        raise NotAllowed("a session", text)


def in_person(who: Principal) -> bool:
    """Whether it is a person who has signed in, or the operator at the installation's own token."""
    return not who.asked_by or who.asked_by.startswith(PERSON)


def _may(asked: TaskAsked, who: Principal, asker: Asker) -> bool:
    return may_approve(asked.approvers, asked.user, asker, admin=who.operator)


def said_before(asked: AskedStory, said: AnswerBody) -> int | None:
    """Sequence of the same answer, if it was given; None: there is none yet.

    Raises Rejected(CONFLICT) if another one was given, Rejected(ALREADY_OVER) if none can be.
    """
    if asked.answered is not None:
        known = asked.answer
        if known and (known.action, known.content) == (said.action, said.content):
            return asked.answered.seq
        how = f"{known.answered_by} has answered {known.action}" if known else "it is answered"
        raise Rejected(Reason.CONFLICT, f"question {said.q}: {how}")
    if asked.status:
        text = f"task {asked.fact.task} is over: {asked.status}"
        raise Rejected(Reason.ALREADY_OVER, text)
    if asked.gone:
        text = f"attempt {asked.fact.attempt}, which has asked question {said.q}, is over"
        raise Rejected(Reason.ALREADY_OVER, f"{text}: nobody waits for the answer")
    return None


def check(asked: TaskAsked, said: AnswerBody) -> None:
    """Hold an answer against the question. Raises Rejected(BAD_REQUEST, TOO_LARGE)."""
    try:
        data = msgspec.json.encode(said.content)
    except UnicodeEncodeError as error:
        raise Rejected(Reason.BAD_REQUEST, f"`content` is no text: {error}") from None
    if len(data) > CONTENT_BYTES:
        text = f"`content` has {len(data)} bytes; an answer has at most {CONTENT_BYTES}"
        raise Rejected(Reason.TOO_LARGE, text)
    if len(said.reason.encode("utf-8", "replace")) > MESSAGE_BYTES:
        raise Rejected(Reason.TOO_LARGE, f"`reason` has more than {MESSAGE_BYTES} bytes")
    if too_deep(data):
        raise Rejected(Reason.BAD_REQUEST, f"`content` is nested more than {MAX_DEPTH} deep")
    if said.action is not AnswerAction.ACCEPT or not asked.schema:
        if said.content:
            raise Rejected(Reason.BAD_REQUEST, "`content`: nothing is wanted with this answer")
        return
    try:
        misfit = Schema(asked.schema).misfit(said.content)
    except (Invalid, Unjudged) as error:
        text = f"an answer can't be checked against the question's schema: {error}"
        raise Rejected(Reason.BAD_REQUEST, f"{text}. Decline it.") from None
    if misfit is not None:
        raise Rejected(Reason.BAD_REQUEST, f"`content`{misfit}")


def answered(origin: Origin, asked: TaskAsked, said: AnswerBody) -> TaskAnswered:
    """The fact; `origin` is of whoever answers."""
    return TaskAnswered(
        id=origin.fact_id,
        by=origin.by,
        user=asked.user,
        task=asked.task,
        q=asked.q,
        action=said.action,
        content=said.content,
        reason=said.reason,
        answered_by=origin.user,
        authority=origin.asked_by,
    )
