"""What one step of an operation does with its tasks.

Doing it again changes nothing: a task is cancelled once, what is run again has a derived id, and
tags that are there are not written anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import OperationStarted, Record, TaskCancelled, TaskCreated
from contracts.operation import MOST_TOLD, PART, Action, OperationStepped, StepFailure, derived
from contracts.status import begin
from contracts.task import TaskRequest
from services.gateway import domain, tagging
from services.gateway.access.identity import Principal
from services.gateway.actor import TRIES, Desk, Unanswered
from services.gateway.bulk import tables
from services.gateway.bulk.views import TaskEnd
from services.log.port import AlreadyRecorded, Append, Log
from services.log.projection import Projection
from services.process.ids import new_id

AT_ONCE = 32
"""Tasks of a step that are worked on together, where each is work of its own."""
LONGEST_MESSAGE = 200
"""Characters of why something could not be done with a task."""


class StepTools(NamedTuple):
    """What steps work with."""

    log: Log
    desk: Desk
    projection: Projection
    instance: str


Outcomes = list[Rejected | None]
"""For each task of a step, in order: why it could not be done, or None."""


async def step(tools: StepTools, part: OperationStarted) -> OperationStepped:
    """Do it with every task of the part. Raises LogUnavailable, ViewError and the like: then all of
    it is to be done again."""
    match part.action:
        case Action.CANCEL:
            outcomes = await _cancel(tools, part)
        case Action.AGAIN:
            outcomes = await _again(tools, part)
        case Action.TAG:
            outcomes = await _tag(tools, part)
    return stepped(part, outcomes, new_id(), tools.instance)


def stepped(part: OperationStarted, outcomes: Outcomes, id_: str, by: str) -> OperationStepped:
    """The fact that tells what has become of a part. Pure."""
    failures = [
        StepFailure(task, str(why.reason), why.message[:LONGEST_MESSAGE])
        for task, why in zip(part.tasks, outcomes, strict=True)
        if why is not None
    ]
    return OperationStepped(
        id=id_,
        by=by,
        user=part.user,
        operation=part.operation,
        k=part.k,
        done=len(outcomes) - len(failures),
        failed=len(failures),
        failures=tuple(failures[:MOST_TOLD]),
    )


async def _cancel(tools: StepTools, part: OperationStarted) -> Outcomes:
    known = await tables.ends(tools.projection, part.user, part.tasks)
    outcomes: dict[str, Rejected | None] = {}
    wanted: list[Append] = []
    for task in part.tasks:
        found = known.get(task)
        if found is None:
            outcomes[task] = domain.no_task(task)
        elif found.cancelled:
            outcomes[task] = None
        elif found.over:
            text = f"task {task} is over: {found.status}"
            outcomes[task] = Rejected(Reason.ALREADY_OVER, text)
        else:
            fact = TaskCancelled(id=new_id(), by=tools.instance, user=part.user, task=task)
            wanted.append(Append(fact))
            outcomes[task] = None
    # What is there already was asked for before, by whomever: that is as good.
    stored = await tools.log.append_all(wanted)
    seqs = [one for one in stored if not isinstance(one, AlreadyRecorded)]
    tools.desk.remember(part.user, max(seqs, default=0))
    return [outcomes[task] for task in part.tasks]


async def _again(tools: StepTools, part: OperationStarted) -> Outcomes:
    first = (part.k - 1) * PART + 1
    ids = {task: derived(part.operation, number) for number, task in enumerate(part.tasks, first)}
    every = (subjects.created(part.user, task) for task in (*ids, *ids.values()))
    records = await tools.log.read_last(list(every))
    found = {r.fact.task: r for r in records if isinstance(r.fact, TaskCreated)}
    known = await tables.ends(tools.projection, part.user, part.tasks)
    outcomes: dict[str, Rejected | None] = {}
    requests: dict[str, TaskRequest] = {}
    for task, id_ in ids.items():
        try:
            if not made_of(found.get(id_), task):
                requests[task] = repeated(task, found.get(task), known.get(task), id_)
            outcomes[task] = None
        except Rejected as why:
            outcomes[task] = why
    who = Principal(part.user, frozenset(part.roles), asked_by=part.asked_by)
    small = {task: one for task, one in requests.items() if domain.is_small(one)}
    sent = await tools.desk.submit_small(who, list(small.values()), "api")
    outcomes |= {task: _why(one) for task, one in zip(small, sent, strict=True)}
    big = [task for task in requests if task not in small]

    async def submit(task: str) -> object:
        return await tools.desk.submit(who, requests[task], "api")

    outcomes |= await _each(big, submit)
    return [outcomes[task] for task in part.tasks]


def made_of(record: Record | None, task: str) -> bool:
    """Whether a task is there, and repeats this one: then it was made before a crash. Pure."""
    fact = record.fact if record else None
    return isinstance(fact, TaskCreated) and fact.spec.again == task


def repeated(task: str, record: Record | None, known: TaskEnd | None, id_: str) -> TaskRequest:
    """The same task once more under another id, with the tags that it has now. Pure.

    Raises Rejected.
    """
    fact = record.fact if record else None
    if record is None or not isinstance(fact, TaskCreated):
        raise domain.no_task(task)
    view = begin(record, fact)
    if known is not None:
        view = msgspec.structs.replace(view, tags=known.tags)
    if fact.invalid:
        text = f"task {task} could not be understood: there is nothing to repeat"
        raise Rejected(Reason.BAD_REQUEST, text)
    return tagging.repeated(view, {"id": msgspec.Raw(msgspec.json.encode(id_))})


async def _tag(tools: StepTools, part: OperationStarted) -> Outcomes:
    who = Principal(part.user, frozenset(part.roles), asked_by=part.asked_by)

    async def tag(task: str) -> None:
        for _ in range(TRIES):
            records = await tools.desk.facts(part.user, task)
            origin = tools.desk.origin(who, "api")
            fact = tagging.tagged(origin, part.user, task, records, part.tags)
            if fact is None:
                return
            try:
                tools.desk.remember(part.user, await tools.log.append(fact))
            except AlreadyRecorded as known:
                # Somebody else was first.
                tools.desk.remember(part.user, known.record.seq if known.record else 0)
            else:
                return
        text = f"the tags of task {task} change all the time: try again"
        raise Rejected(Reason.CONFLICT, text)

    outcomes = await _each(part.tasks, tag)
    return [outcomes[task] for task in part.tasks]


async def _each(
    tasks: Sequence[str], do: Callable[[str], Awaitable[object]]
) -> dict[str, Rejected | None]:
    """Do it with each of them, some at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(task: str) -> Rejected | None:
        async with places:
            try:
                await do(task)
            except Rejected as refusal:
                return _why(refusal)
        return None

    found = await asyncio.gather(*(one(task) for task in tasks))
    return dict(zip(tasks, found, strict=True))


def _why(outcome: Any) -> Rejected | None:
    """Why a task was not done; what is not known has to be done again, and so is raised."""
    if isinstance(outcome, Unanswered) or (
        isinstance(outcome, Exception) and not isinstance(outcome, Rejected)
    ):
        raise outcome
    if isinstance(outcome, Rejected) and outcome.reason is Reason.UNAVAILABLE:
        raise outcome
    return outcome if isinstance(outcome, Rejected) else None
