"""Answers and the end of a question meet at the log: exactly one of them stands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from contracts import subjects
from contracts.facts import JobDone, LogRouter, Outcome, Record, TaskAnswered
from services.log.jetstream import NatsLog
from services.log.port import AlreadyRecorded, Append
from services.process.ids import new_id
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, world

TASKS = [f"t{n}" for n in range(12)]


async def say(one: World, task: str, action: str) -> int:
    async with one.http() as client:
        body: dict[str, Any] = {"q": 1, "action": action}
        return (await client.post(f"/api/tasks/{task}/answer", json=body)).status_code


async def end(log: NatsLog, task: str, outcome: Outcome) -> bool:
    """End it as the router ends what nobody has answered; False: somebody has."""
    again = LogRouter(id=new_id(), by="router-1", term=1, again=True)
    done = facts.done("alice", task, outcome)
    guards = subjects.latest_term(1), subjects.unanswered("alice", task, 1)
    try:
        await log.append_together([Append(again, guards[0]), Append(done, guards[1])])
    except AlreadyRecorded:
        return False
    return True


async def race(one: World, router: NatsLog, task: str, n: int) -> list[Any]:
    """All at once, each time in another order."""
    ways = [
        say(one, task, "accept"),
        say(one, task, "decline"),
        end(router, task, Outcome.TIMED_OUT),
        end(router, task, Outcome.CANCELLED),
    ]
    turned = ways[n % 4 :] + ways[: n % 4]
    said = await asyncio.gather(*turned)
    return said[-(n % 4) or 4 :] + said[: -(n % 4) or 4]


async def test_of_answers_and_ends_that_meet_exactly_one_stands(
    fresh_nats: NatsServer, tmp_path: Path
) -> None:
    async with (
        fresh_nats.connected("gateway") as bus,
        fresh_nats.connected("router") as other,
        await NatsLog.open(bus) as log,
        await NatsLog.open(other) as router,
        world(tmp_path, bus, log=log) as one,
    ):
        await router.append(LogRouter(id=new_id(), by="router-1", term=1))
        for task in TASKS:
            await log.append(facts.created("alice", task))
            await router.append(facts.asked("alice", task), subjects.job_head("alice", task, 0))
        said = [await race(one, router, task, n) for n, task in enumerate(TASKS)]
        for task, (yes, no, late, cancelled) in zip(TASKS, said, strict=True):
            stood = await log.read((f"task.answered.alice.{task}.*", f"job.done.alice.{task}.*"))
            assert len(stood) == 1, task
            assert [yes == 200, no == 200, late, cancelled].count(True) == 1, task
            assert told(stood[0]) == [yes == 200, no == 200, late, cancelled].index(True), task
            assert {yes, no} <= {200, 404, 409}, task


def told(record: Record) -> int:
    """Which of the ways the log has."""
    match record.fact:
        case TaskAnswered() as fact:
            return ["accept", "decline"].index(fact.action)
        case JobDone() as fact:
            return 2 + [Outcome.TIMED_OUT, Outcome.CANCELLED].index(fact.outcome)
    raise AssertionError


async def test_nothing_is_asked_once_the_task_is_over(fresh_nats: NatsServer) -> None:
    async with (
        fresh_nats.connected("gateway") as bus,
        fresh_nats.connected("router") as other,
        await NatsLog.open(bus) as log,
        await NatsLog.open(other) as router,
    ):
        await log.append(facts.created("alice", "t1"))
        end_ = await router.append(facts.done("alice", "t1", Outcome.CANCELLED))
        for head in (0, end_ - 1):
            guard = subjects.job_head("alice", "t1", head)
            for writer, fact in (
                (router, facts.asked("alice", "t1")),
                (log, facts.answered("alice", "t1")),
            ):
                stored = (await writer.append_all([Append(fact, guard)]))[0]
                assert isinstance(stored, AlreadyRecorded)
