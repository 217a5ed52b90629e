"""A log that is put back from a backup while all services run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections import Counter
from pathlib import Path

import httpx

from contracts.facts import JobDone, TaskCreated
from tests.failures.load import Load
from tests.failures.stage import SLOTS, Stage, stage
from tests.failures.trial import Row, advised, back_s, named_s
from tests.support.system import until

TASKS = 3 * SLOTS
SAYS = ("tasks that had ended are open again",)


async def log_restored(folder: Path, seed: int) -> list[Row]:
    """Tasks end after a backup was made, it is put back, and the operator has them end.

    None is called again, and each that the log has ends once.
    """
    copy = folder / "backup"
    async with stage(folder) as one:
        work = Load(one, seed, "restored")
        tasks = [f"restored-{number}" for number in range(TASKS)]
        for task in tasks:
            await work.send({"type": "work", "id": task, "input": {"ms": 2000}})
        await until(lambda: _called(one, SLOTS))
        await _exchanged(one, one.data / "nats" / "jetstream", copy)
        await until(one.well)
        await until(lambda: _over(one, tasks))
        before = _calls(one)

        await _exchanged(one, copy, one.data / "nats" / "jetstream")
        named = await named_s(one, SAYS)
        await advised(one, "metamcp restored")
        found = json.loads(await one.metamcp("restored", "--json"))
        assert found["ended"] >= SLOTS, found
        begun = time.monotonic()
        await one.metamcp("restored", "end")
        await until(lambda: _over(one, tasks))
        await back_s(one, "log-restored")
        back = time.monotonic() - begun
        again = {task: count for task, count in _calls(one).items() if task in tasks}
        assert again == before, "a task that had ended was called again"
        facts = [record.fact for record in await one.facts()]
    created = [fact.task for fact in facts if isinstance(fact, TaskCreated)]
    ended = Counter(fact.task for fact in facts if isinstance(fact, JobDone))
    assert ended == Counter(created), "each ends once"
    lost = sum(task not in created for task in tasks)
    return [Row("log_restored", seed, TASKS, 0, lost, 0, named, back)]


async def _exchanged(one: Stage, source: Path, target: Path) -> None:
    """Have one store be a copy of the other while the server is down; all else lives on."""
    with one.held():
        one.kill("nats", signal.SIGKILL)
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", 'rm -rf "$2" && cp -a "$1" "$2"', "sh", str(source), str(target))
        )
        assert await process.wait() == 0


def _calls(one: Stage) -> Counter[str]:
    return Counter(call["task"] for call in one.calls() if call["event"] == "start")


async def _called(one: Stage, count: int) -> bool:
    return len(_calls(one)) >= count


async def _over(one: Stage, tasks: list[str]) -> bool:
    with contextlib.suppress(httpx.HTTPError, OSError, KeyError):
        answer = await one.http.get(f"{one.url}/api/tasks", params={"limit": 200})
        over = {task["id"] for task in answer.json()["data"] if "done_at" in task}
        return set(tasks) <= over
    return False
