"""A minute of chaos with sick hosts, from a seed; then the log proves that nothing went wrong.

CHAOS_SEED=<number> repeats a run.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from contracts.facts import JobDone, JobFailed, JobSigned, LogRouter, TaskRouted
from tests import soak
from tests.support import chaos, invariants
from tests.support.system import system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(240)]

TASKS = 1000
SECONDS = 60.0
SLOTS = 8


def test_one_seed_is_one_plan() -> None:
    again = chaos.plan(7, 50, 40.0)
    assert chaos.plan(7, 50, 40.0) == again
    assert chaos.plan(8, 50, 40.0) != again
    assert {blow.victim for blow in again.blows if not blow.frozen_s} == set(chaos.VICTIMS)


async def test_a_minute_of_chaos_breaks_no_invariant(tmp_path: Path) -> None:
    seed = chaos.seed()
    print(f"\nchaos: {chaos.SEED}={seed}")
    sick = chaos.manifest(tmp_path, seed, SLOTS)
    plan = chaos.plan(seed, TASKS, SECONDS)
    async with system(tmp_path, {chaos.STEADY: SLOTS}, extra=sick, executors=2) as one:
        chaos.add_router(one.running)
        accepted = await chaos.drive(one, plan)
        records = await one.all_done(accepted)
        calls = one.calls()
    facts = [record.fact for record in records]
    ends = Counter(fact.outcome.value for fact in facts if isinstance(fact, JobDone))
    kinds = Counter(fact.kind.value for fact in facts if isinstance(fact, JobFailed))
    print(f"outcomes {dict(ends)}, failed attempts {dict(kinds)}, {len(plan.blows)} blows")
    invariants.check(records, calls, accepted)
    invariants.audited(records)
    assert set(ends) == {"succeeded", "failed", "cancelled", "timed_out", "rejected"}
    assert {"lost", "timeout", "cut"} <= set(kinds), "the chaos was too tame"
    assert len({fact.executor for fact in facts if isinstance(fact, JobSigned)}) == 2
    begun = [fact for fact in facts if isinstance(fact, LogRouter) and not fact.again]
    assert len(begun) > 1, "no router was overtaken"
    used = {fact.route.host for fact in facts if isinstance(fact, TaskRouted)}
    assert used == {chaos.STEADY, *chaos.SICK}


async def test_a_soak_goes_on_round_after_round_and_checks_all_of_them(tmp_path: Path) -> None:
    lines = [line async for line in soak.soak(tmp_path, chaos.seed(), [(10.0, 60), (10.0, 60)])]
    print("\n" + "\n".join(lines))
    assert [f" {tasks} tasks" in line for tasks, line in zip((60, 120), lines, strict=True)]
    for name in ("nats", "gateway-1", "router-2", "executor-2"):
        assert all(f"{name} " in line for line in lines)


async def test_a_host_that_hangs_dies_or_flaps_slows_no_other(tmp_path: Path) -> None:
    """While every slot of the hanging host is taken, a whole queue for the steady one is done."""
    sick = chaos.manifest(tmp_path, 9, SLOTS, chaos.SICK | {"hanging": {"hang": 1.0}})
    async with system(tmp_path, {chaos.STEADY: 2}, extra=sick) as one:

        async def submit(host: str, count: int, **fields: Any) -> list[str]:
            body = {"host": host, "input": {"ms": 5}, "deadline_s": 60} | fields
            return [await one.submit("work", **body) for _ in range(count)]

        hung = await submit("hanging", 2 * SLOTS, timeout_s=100)

        async def all_hang() -> bool:
            return sum(call.get("task") in hung for call in one.calls()) == SLOTS

        await until(all_hang)
        others = await submit("exiting", 40) + await submit("flapping", 40)
        steady = await submit(chaos.STEADY, 40)
        before = await one.all_done(steady)
        for task in hung:
            await one.http.post(f"{one.url}/api/tasks/{task}/cancel")
        every = [*hung, *others, *steady]
        records = await one.all_done(every)
        invariants.check(records, one.calls(), every)
        invariants.audited(records)
    ends = {record.fact.task: record.fact for record in before if isinstance(record.fact, JobDone)}
    for task in steady:
        end = ends[task]
        assert (end.outcome, end.host, end.attempt) == ("succeeded", chaos.STEADY, 1)
    attempts = [r.fact for r in before if getattr(r.fact, "task", "") in hung]
    assert sum(isinstance(fact, JobSigned) for fact in attempts) == SLOTS
    assert not [fact for fact in attempts if isinstance(fact, JobDone | JobFailed)], "they waited"
