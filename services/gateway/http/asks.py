"""Routes about what tasks ask of people: what waits for an answer, and the answer."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.params import FromPath, QueryParameter, RawBody

from contracts import scopes, subjects
from contracts.asks import AnswerAction, QuestionKind, TaskQuestion
from contracts.errors import Reason, Rejected
from contracts.facts import TaskCreated
from contracts.ids import is_user
from contracts.permitted import Asker
from services.gateway import asks, lists
from services.gateway.access.identity import Principal
from services.gateway.actor import ANSWER_S, TRIES, Unanswered
from services.gateway.asks import AnswerBody
from services.gateway.domain import check_depth, no_task
from services.gateway.http.parts import (
    Asking,
    Cursor,
    Envelope,
    Limit,
    Page,
    Parts,
    Wired,
    ok,
    read,
)
from services.gateway.openapi.document import described
from services.gateway.rows import AskRow
from services.log.port import AlreadyRecorded, LogUnavailable
from services.process import tracing

INPUT_CHARS = 4096
"""Of a task's input that stand beside its question."""

Owner = Annotated[
    str | None, QueryParameter(description="Whose task it is, if it is somebody else's.")
]


class Ask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task that waits for an answer, and its question."""

    user: str
    task: str
    type: str
    created_seq: int
    """Also the cursor: `?cursor=` this value continues after this task."""
    question: TaskQuestion
    asked_by: str = ""
    """On whose authority, as in `task.created`."""
    project: str = ""
    input: str = ""
    """Of an approval, what would be called: the input as JSON, at most 4,096 characters of it."""
    input_chars: int = 0
    """How long that is as a whole."""


class Answered(msgspec.Struct, frozen=True):
    """An answer stands in the log."""

    user: str
    task: str
    q: int
    action: AnswerAction
    seq: int


EXAMPLES = (
    AnswerBody(1, AnswerAction.ACCEPT),
    Answered("alice", "t-7", 1, AnswerAction.ACCEPT, 19),
    Ask(
        user="alice",
        task="t-7",
        type="mcp.call",
        created_seq=17,
        question=TaskQuestion(
            q=1,
            kind=QuestionKind.APPROVAL,
            message="May tool delete_file of host files be called?",
            asked_at=1_796_000_000.0,
            expires=1_796_086_400.0,
            host="files",
            tool="delete_file",
        ),
        input='{"arguments":{"path":"a"},"tool":"delete_file"}',
        input_chars=47,
    ),
)


@get("/api/asks", opt=described(scope=scopes.TASKS_READ, errors=(503,)))
async def list_asks(
    parts: Wired, principal: Asking, limit: Limit = 50, cursor: Cursor = None
) -> Page[Ask]:
    """List the questions that wait for you: of your own tasks, and those that you may allow.

    Newest first. A page may be shorter than `limit` though there are more.
    """
    await parts.caught_up()
    await parts.holds_what_was_told(principal.user)
    asker = parts.asker(principal)
    found, more = await lists.list_asks(
        parts.projection, asker, limit, cursor, admin=principal.operator
    )
    return Page(True, await _shown(parts, found), next_cursor=more)


async def _shown(parts: Parts, found: list[AskRow]) -> list[Ask]:
    """The questions with the inputs of what is to be allowed."""
    about = [row for row in found if row.question.kind is QuestionKind.APPROVAL]
    inputs: dict[tuple[str, str], str] = {}
    if about:
        wanted = [subjects.created(row.user, row.task) for row in about]
        for record in await parts.log.read_last(wanted):
            if isinstance(fact := record.fact, TaskCreated):
                pointer = fact.spec.input_pointer
                text = f"at {pointer.uri}" if pointer else bytes(fact.spec.input).decode()
                inputs[fact.user, fact.task] = text
    return [_ask(row, inputs.get((row.user, row.task), "")) for row in found]


def _ask(row: AskRow, text: str) -> Ask:
    return Ask(**msgspec.structs.asdict(row), input=text[:INPUT_CHARS], input_chars=len(text))


@post(
    "/api/tasks/{task:str}/answer",
    status_code=200,
    opt=described(scope=scopes.TASKS_WRITE, body=AnswerBody, errors=(403, 404, 409, 503)),
)
async def answer_task(
    task: FromPath[str], body: RawBody, parts: Wired, principal: Asking, user: Owner = None
) -> Envelope[Answered]:
    """Answer what a task asks; the same answer again changes nothing, another one is a conflict.

    Whether a tool may be called only a person can say who has signed in: no token, no client.
    """
    check_depth(body, "not an answer: it")
    said, owner = read(body, AnswerBody), principal.user if user is None else user
    if not is_user(owner):
        raise no_task(task)
    seq, again = await give_answer(parts, principal, owner, task, said)
    text = "this was answered before" if again else "answered"
    return ok(Answered(owner, task, said.q, said.action, seq), text)


async def give_answer(
    parts: Parts, who: Principal, user: str, task: str, said: AnswerBody
) -> tuple[int, bool]:
    """Answer what a task of this user asks; the sequence of that, and whether it was there before.

    Raises Rejected, Unanswered.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            seq, again = await _answer(parts, who, user, task, said)
    except (TimeoutError, LogUnavailable) as error:
        raise Unanswered(task) from error
    parts.desk.remember(who.user, seq)
    return seq, again


async def _answer(
    parts: Parts, who: Principal, user: str, task: str, said: AnswerBody
) -> tuple[int, bool]:
    asker: Asker = parts.asker(who)
    for _ in range(TRIES):
        asked = asks.find(task, await parts.desk.facts(user, task), said.q, who, asker)
        asks.may_answer(asked.fact, who, asker)
        if (seq := asks.said_before(asked, said)) is not None:
            return seq, True
        asks.check(asked.fact, said)
        fact = asks.answered(parts.desk.origin(who, "api"), asked.fact, said)
        guard = subjects.job_head(user, task, asked.head)
        try:
            return await parts.log.append(fact, guard, tracing.current()), False
        except AlreadyRecorded as known:
            # The task went on meanwhile, or somebody else was first: the log says which.
            seq = known.record.seq if known.record else 0
            parts.desk.remember(user, seq)
    raise Rejected(Reason.CONFLICT, f"task {task} changes all the time: try again")


ROUTES = (list_asks, answer_task)
