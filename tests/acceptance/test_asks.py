"""A hundred tasks wait for a person while all is killed: each is answered once, and goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.facts import JobDone, Outcome, Record, TaskAnswered, TaskAsked
from tests.support import invariants
from tests.support.system import RECORDER, System, recorder, system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(240)]

COUNT = 100
VICTIMS = ("gateway", "router", "executor", "nats")
AT_ONCE = 10


def asking(folder: Path) -> Path:
    """The manifest of a host whose tool a person has to allow."""
    table = RECORDER.format(
        name="asking",
        start=recorder(),
        root=Path(__file__).resolve().parents[2],
        record=folder / "calls.jsonl",
        slots=16,
    )
    path = folder / "asking.toml"
    path.write_text(table.replace("sessions =", 'approve = ["wo*"]\nsessions ='))
    return path


async def say(one: System, task: str, action: str) -> int:
    """Answer until the gateway has said what came of it."""
    said = 0

    async def heard() -> bool:
        nonlocal said
        with contextlib.suppress(httpx.TransportError, OSError):
            url = f"{one.url}/api/tasks/{task}/answer"
            said = (await one.http.post(url, json={"q": 1, "action": action})).status_code
            return said != 503
        await one.alive()
        return False

    await until(heard)
    return said


async def strike(one: System) -> None:
    """Kill everything that has a part in it, at once."""
    for victim in VICTIMS:
        with contextlib.suppress(KeyError, ProcessLookupError):
            one.running.kill(victim)
    await until(one.alive)


def of(records: list[Record], kind: type) -> list[str]:
    return [record.fact.task for record in records if isinstance(record.fact, kind)]


async def test_what_waits_for_an_answer_outlives_everything(tmp_path: Path) -> None:
    async with system(tmp_path, {"other": 1}, extra=asking(tmp_path)) as one:
        tasks = [f"asked-{n}" for n in range(COUNT)]
        fields: dict[str, Any] = {"input": {"ms": 5}, "host": "asking", "on_unknown": "retry"}
        fields["max_attempts"] = 20
        for task in tasks:
            await one.submit("work", id=task, **fields)
        await one.told("task.asked.>", lambda records: len(records) >= COUNT)
        await strike(one)
        left, answers = iter(tasks), dict[str, list[int]]()

        async def person() -> None:
            for task in left:
                # Two people at once, and one of them says no to every tenth.
                other = "decline" if task.endswith("7") else "accept"
                both = asyncio.gather(say(one, task, "accept"), say(one, task, other))
                answers[task] = await both

        people = [asyncio.create_task(person()) for _ in range(AT_ONCE)]
        try:
            for enough in (COUNT // 4, COUNT // 2):

                async def answered(enough: int = enough) -> bool:
                    return len(answers) >= enough

                await until(answered)
                await strike(one)
            await asyncio.gather(*people)
        finally:
            for running in people:
                running.cancel()
        records = await one.all_done(tasks)
        calls = one.calls()
    assert Counter(of(records, TaskAsked)) == Counter(tasks)
    assert Counter(of(records, TaskAnswered)) == Counter(tasks)
    said = {r.fact.task: r.fact.action for r in records if isinstance(r.fact, TaskAnswered)}
    ends = {r.fact.task: r.fact.outcome for r in records if isinstance(r.fact, JobDone)}
    for task, (first, second) in answers.items():
        assert {first, second} == ({200} if not task.endswith("7") else {200, 409}), task
        wanted = Outcome.SUCCEEDED if said[task] == "accept" else Outcome.REJECTED
        assert ends[task] == wanted, task
    invariants.check(records, calls, tasks)
    invariants.audited(records)
