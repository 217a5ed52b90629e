"""What one step of an operation does with its tasks.

Doing it again changes nothing: a task is cancelled once, what is run again has a derived id, and
tags that are there are not written anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import OperationStarted, TaskCancelled, TaskCreated
from contracts.operation import MOST_TOLD, PART, Action, OperationStepped, StepFailure, derived
from contracts.task import TaskRequest, TaskSpec
from services.gateway import domain
from services.gateway.access.identity import Principal
from services.gateway.actor import Desk, Unanswered
from services.gateway.bulk import tables
from services.log.port import AlreadyRecorded, Append, Log
from services.log.projection import Projection
from services.process.ids import new_id

AT_ONCE = 32
"""Tasks of a step that are worked on together, where each is work of its own."""
LONGEST_MESSAGE = 200
"""Characters of why something could not be done with a task."""
_SPEC_FIELDS = TaskSpec.__struct_fields__


class Tools(NamedTuple):
    """What steps work with."""

    log: Log
    desk: Desk
    projection: Projection
    instance: str


Outcomes = list[Rejected | None]
"""For each task of a step, in order: why it could not be done, or None."""


async def step(tools: Tools, part: OperationStarted) -> OperationStepped:
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


async def _cancel(tools: Tools, part: OperationStarted) -> Outcomes:
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


async def _again(tools: Tools, part: OperationStarted) -> Outcomes:
    wanted = [subjects.created(part.user, task) for task in part.tasks]
    records = await tools.log.read_last(wanted)
    found = {r.fact.task: r.fact for r in records if isinstance(r.fact, TaskCreated)}
    first = (part.k - 1) * PART + 1
    requests: dict[str, TaskRequest] = {}
    for number, task in enumerate(part.tasks, first):
        if (fact := found.get(task)) is not None:
            requests[task] = repeated(fact, derived(part.operation, number))
    outcomes: dict[str, Rejected | None] = {
        task: domain.no_task(task) for task in part.tasks if task not in requests
    }
    who = Principal(part.user, frozenset(part.roles), asked_by=part.asked_by)
    small = {task: one for task, one in requests.items() if domain.is_small(one)}
    sent = await tools.desk.submit_small(who, list(small.values()), "api")
    outcomes |= {task: _why(one) for task, one in zip(small, sent, strict=True)}
    big = [task for task in requests if task not in small]

    async def submit(task: str) -> Any:
        return await tools.desk.submit(who, requests[task], "api")

    outcomes |= await _each(big, submit)
    return [outcomes[task] for task in part.tasks]


def repeated(fact: TaskCreated, id_: str) -> TaskRequest:
    """The same task once more, under another id. Pure."""
    fields = {name: getattr(fact.spec, name) for name in _SPEC_FIELDS}
    own = {"id": id_, "again": fact.task, "batch": None, "project": fact.project or None}
    return TaskRequest(**fields | own)


async def _tag(tools: Tools, part: OperationStarted) -> Outcomes:
    who = Principal(part.user, frozenset(part.roles), asked_by=part.asked_by)

    async def tag(task: str) -> Any:
        return await tools.desk.tag(who, part.user, task, part.tags)

    outcomes = await _each(part.tasks, tag)
    return [outcomes[task] for task in part.tasks]


async def _each(tasks: Sequence[str], do: Any) -> dict[str, Rejected | None]:
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
