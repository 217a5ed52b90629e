"""Routes that set the tags of a task, and repeat one."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, post, put
from litestar.params import FromPath, RawBody

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.status import TaskView
from contracts.tags import Tags
from contracts.task import TypeName
from services.gateway import tagging
from services.gateway.access.identity import Principal
from services.gateway.actor import ANSWER_S, TRIES, Unanswered
from services.gateway.domain import TaskBody, no_task
from services.gateway.http.parts import Asking, Envelope, Parts, Wired, ok, seen_by, submitted
from services.gateway.http.tasks import Wait
from services.gateway.openapi.document import described
from services.gateway.tagging import TagsBody
from services.log.port import AlreadyRecorded, LogUnavailable
from services.process import tracing


class Tagged(msgspec.Struct, frozen=True):
    """A task has these tags."""

    task: str
    tags: dict[str, str]
    seq: int
    """Of the fact that says so."""


class TaskEdits(TaskBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way than in the task that is repeated; null: as where nothing is said.

    An `input` takes the place of an `input_pointer`, and the other way round.
    """

    type: TypeName | None = None  # type: ignore[assignment]


EXAMPLES = (
    TagsBody({"run": "7"}),
    Tagged("t1", {"run": "7"}, 48),
    TaskEdits(input=msgspec.Raw(b'{"path":"src/other.py"}'), tags={"run": "8"}),
)


@put(
    "/api/tasks/{task:str}/tags",
    opt=described(scope=scopes.TASKS_WRITE, body=TagsBody, errors=(404, 409, 503)),
)
async def put_tags(
    task: FromPath[str], body: RawBody, parts: Wired, principal: Asking
) -> Envelope[Tagged]:
    """Set all tags of a task of yours, also after its end. Where it has them, nothing is stored."""
    tags = tagging.parse_tags(body)
    seq, changed = await give_tags(parts, principal, task, tags)
    return ok(Tagged(task, tags, seq), "tags set" if changed else "it has these tags")


async def give_tags(parts: Parts, who: Principal, task: str, tags: Tags) -> tuple[int, bool]:
    """Set the tags of a task of theirs; the sequence of its newest fact, and whether that is new.

    Raises OverBudget, Rejected, Unanswered.
    """
    parts.desk.admission.check_fact(who.user, operator=who.operator)
    try:
        async with asyncio.timeout(ANSWER_S):
            seq, changed = await _give_tags(parts, who, task, tags)
    except (TimeoutError, LogUnavailable) as error:
        raise Unanswered(task) from error
    parts.desk.remember(who.user, seq)
    return seq, changed


async def _give_tags(parts: Parts, who: Principal, task: str, tags: Tags) -> tuple[int, bool]:
    for _ in range(TRIES):
        records = await parts.desk.facts(who.user, task)
        fact = tagging.tagged(parts.desk.origin(who, "api"), who.user, task, records, tags)
        if fact is None:
            return records[-1].seq, False
        try:
            return await parts.log.append(fact, trace=tracing.current()), True
        except AlreadyRecorded as known:
            # Somebody else was first.
            parts.desk.remember(who.user, known.record.seq if known.record else 0)
    raise Rejected(Reason.CONFLICT, f"the tags of task {task} change all the time: try again")


@post(
    "/api/tasks/{task:str}/again",
    opt=described(
        scope=scopes.TASKS_WRITE,
        body=TaskEdits,
        body_needed=False,
        errors=(404, 409, 503, 507),
        also={200: "The same task was sent before: this is it."},
    ),
)
async def repeat_task(
    task: FromPath[str], body: RawBody, parts: Wired, principal: Asking, wait: Wait = None
) -> Response[Envelope[TaskView]]:
    """Create a task like one of yours, with some fields another way; `again` says of which it is.

    Under an `id` of your own the same request again changes nothing.
    """
    request = await like(parts, principal, task, tagging.edits_in(body))
    accepted, view = await submitted(parts, principal, request, "api", wait or 0.0)
    text = "this task was created before" if accepted.duplicate else "task created"
    status = 200 if accepted.duplicate else 201
    return Response(ok(seen_by(principal, view), text), status_code=status)


async def like(parts: Parts, who: Principal, task: str, edits: dict[str, msgspec.Raw]) -> TaskBody:
    """The request that repeats a task of theirs. Raises Rejected, InsufficientScope."""
    view = await parts.desk.view(who.user, task)
    if view is None or not who.asked(view.asked_by):
        # The answer shows its input.
        who.needs(scopes.TASKS_READ)
    if view is None:
        raise no_task(task)
    request = tagging.repeated(view, edits)
    made = None if request.id is None else await parts.desk.view(who.user, request.id)
    if made is not None and made.again == task:
        # The old one may have other tags meanwhile.
        request = tagging.repeated(view, edits, made.spec)
    return request


ROUTES = (put_tags, repeat_task)
