"""Kill everything, one after the other, with 200 tasks in flight: nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from contracts.facts import JobDone, JobFailed, JobSigned, Outcome
from tests.support import invariants
from tests.support.system import System, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(300)]

IN_FLIGHT = 200
VICTIMS = ("gateway", "router", "executor", "registry", "results", "nats")


async def submit_many(one: System, label: str) -> list[str]:
    """Half of the tasks may run again when their outcome is unknown, half may not."""

    async def submit(number: int) -> str:
        return await one.submit(
            id=f"{label}-{number}",
            input={
                "tool": "work",
                "arguments": {"task": "$task", "attempt": "$attempt", "ms": 150},
            },
            on_unknown="retry" if number % 2 else "fail",
            deadline_s=100,
        )

    return list(await asyncio.gather(*(submit(n) for n in range(IN_FLIGHT))))


async def some_ran(one: System, before: int) -> None:
    async def ran() -> bool:
        return len(one.calls()) > before + 10

    await until(ran)


async def at_work(one: System, executor: str) -> None:
    """Wait until an executor holds several attempts at once."""

    async def busy() -> bool:
        facts = [record.fact for record in await one.facts()]
        over = {fact.task for fact in facts if isinstance(fact, (JobDone, JobFailed))}
        claims = [fact for fact in facts if isinstance(fact, JobSigned) and fact.task not in over]
        return sum(claim.executor == executor for claim in claims) >= 4

    await until(busy)


async def test_every_task_ends_once_whatever_is_killed(tmp_path: Path) -> None:
    async with system(tmp_path, {"one": 16, "two": 16}) as one:
        accepted: list[str] = []
        for victim in VICTIMS:
            before = len(one.calls())
            submitting = asyncio.create_task(submit_many(one, victim))
            await some_ran(one, before)
            one.running.kill(victim)
            accepted += await submitting
        records = await one.all_done(accepted)
        invariants.check(records, one.calls(), accepted)
        outcomes = [r.fact.outcome for r in records if isinstance(r.fact, JobDone)]
        assert outcomes.count(Outcome.SUCCEEDED) > 0.8 * len(accepted)
        lost = [r.fact for r in records if isinstance(r.fact, JobFailed) and r.fact.kind == "lost"]
        assert lost, "no attempt was lost: the executor was not killed in its work"


async def test_a_frozen_executor_that_wakes_up_is_overtaken(tmp_path: Path) -> None:
    async with system(tmp_path, {"one": 16, "two": 16}, executors=2) as one:
        submitting = asyncio.create_task(submit_many(one, "frozen"))
        await at_work(one, "executor-1")
        one.running.kill("executor-1", signal.SIGSTOP)
        accepted = await submitting
        records = await one.all_done(accepted)
        one.running.kill("executor-1", signal.SIGCONT)
        after = await one.submit(input={"tool": "echo", "arguments": {"text": "still there"}})
        assert (await one.finished(after))["status"] == "succeeded"
        records = await one.all_done([*accepted, after])
        invariants.check(records, one.calls(), [*accepted, after])
        frozen = {r.fact.task for r in records if isinstance(r.fact, JobFailed)}
        assert frozen, "nothing was running on the frozen executor"
        claims = [r.fact for r in records if isinstance(r.fact, JobSigned)]
        assert {claim.executor for claim in claims} == {"executor-1", "executor-2"}
