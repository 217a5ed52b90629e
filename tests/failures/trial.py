"""One failure, tried: under load it begins, lasts, ends; then everything is compared and timed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from contracts.facts import JobDone, Record, TaskCreated
from tests.failures.load import Load, load
from tests.failures.stage import Stage
from tests.support import invariants
from tests.support.system import until

NAMED_S = 5.0
"""Health says what is wrong within so long."""
BACK_S = 30.0
"""After the end of a failure everything works again within so long, by itself."""
Act = Callable[[Stage], Awaitable[object]]


class Failure(NamedTuple):
    """What is done to the system, and what it must say of it."""

    name: str
    begin: Act
    end: Act
    lasts_s: float
    says: tuple[str, ...] = ()
    """Words that health must have while it lasts, all of them; none: it need not show."""
    shown: Callable[[Stage], Awaitable[bool]] | None = None
    """Whether it shows by now, where health says it elsewhere: of a host."""
    advice: str = ""
    """Words of what `metamcp doctor` says to do."""


class Row(NamedTuple):
    """What came of it: a line of the table."""

    failure: str
    seed: int
    tasks: int
    refused: int
    lost: int
    doubled: int
    named_s: float | None
    """Seconds until health named it; None: it has nothing to name."""
    back_s: float
    """Seconds from its end until all was well and a new task had succeeded."""


async def tried(one: Stage, failure: Failure, seed: int) -> Row:
    """Try one failure; fails where something accepted was lost, doubled, or told otherwise."""
    named: float | None = None
    async with load(one, seed, failure.name.replace("_", "-")) as work:
        begun = time.monotonic()
        await failure.begin(one)
        if failure.says:
            named = await named_s(one, failure.says)
        elif failure.shown is not None:
            await until(partial(failure.shown, one), seconds=NAMED_S + BACK_S)
            named = time.monotonic() - begun
        if failure.advice:
            await advised(one, failure.advice)
        await _until_then(begun + failure.lasts_s)
        await failure.end(one)
        back = await back_s(one, failure.name)
    records = await _ended(one, work.accepted)
    lost, doubled = compared(records, one.calls(), work)
    return Row(
        failure.name,
        seed,
        len(work.accepted),
        sum(work.refused.values()),
        lost,
        doubled,
        named,
        back,
    )


async def advised(one: Stage, words: str) -> None:
    """Fails unless `metamcp doctor` says this among what to do."""
    hints = [entry.get("hint", "") for entry in await one.doctor()]
    assert any(words in hint for hint in hints), hints


async def named_s(one: Stage, words: tuple[str, ...]) -> float:
    """Seconds until the health says all of them, from when there is somebody to say it."""
    begun = time.monotonic()
    last: dict[str, Any] = {}

    async def says() -> bool:
        nonlocal begun, last
        last = await one.health()
        if not last:
            begun = time.monotonic()
        return all(each in str(last.get("message", "")) for each in words)

    try:
        await until(says, seconds=NAMED_S + BACK_S)
    except TimeoutError:
        raise AssertionError(f"health does not say {words!r}: {last}") from None
    return time.monotonic() - begun


async def _ended(one: Stage, tasks: list[str]) -> list[Record]:
    """The whole log, once each of the tasks is over."""
    records: list[Record] = []

    async def over() -> bool:
        nonlocal records
        records = await one.facts()
        done = {r.fact.task for r in records if isinstance(r.fact, JobDone)}
        created = {r.fact.task for r in records if isinstance(r.fact, TaskCreated)}
        return created <= done and set(tasks) <= done

    try:
        await until(over, seconds=2 * BACK_S, every=1.0)
    except TimeoutError:
        done = {r.fact.task for r in records if isinstance(r.fact, JobDone)}
        raise AssertionError(f"not over: {sorted(set(tasks) - done)[:10]}") from None
    return records


async def _until_then(at: float) -> None:
    async def over() -> bool:
        return time.monotonic() >= at

    await until(over, seconds=300)


async def back_s(one: Stage, label: str) -> float:
    """Seconds until all is well and a task that is new has succeeded, twice the limit at most."""
    begun = time.monotonic()
    probe = Load(one, 0, "probe")
    task = f"{label.replace('_', '-')}-after"
    try:
        await until(one.well, seconds=2 * BACK_S)
    except TimeoutError:
        raise AssertionError(
            f"{label} is over, but not all is well: {await one.health()}"
        ) from None
    await probe.send({"type": "work", "id": task, "input": {"ms": 1}, "deadline_s": 60.0})
    ended: dict[str, Any] = {}

    async def over() -> bool:
        nonlocal ended
        ended = (await one.http.get(f"{one.url}/api/tasks/{task}")).json()["data"]
        return "done_at" in ended

    await until(over, seconds=2 * BACK_S)
    assert ended["status"] == "succeeded", ended
    return time.monotonic() - begun


def compared(records: list[Record], calls: list[dict[str, Any]], work: Load) -> tuple[int, int]:
    """What clients were told, hosts saw and the log says, side by side: tasks lost, and doubled.

    Fails where they don't agree.
    """
    created = {r.fact.task for r in records if isinstance(r.fact, TaskCreated)}
    lost = [task for task in work.accepted if task not in created]
    begun = Counter((c["task"], c["attempt"]) for c in calls if c["event"] == "start")
    doubled = [pair for pair, times in begun.items() if times > 1]
    assert not lost, lost[:5]
    assert not doubled, doubled[:5]
    invariants.check(records, calls, work.accepted)
    ends = {r.fact.task: r.fact.outcome.value for r in records if isinstance(r.fact, JobDone)}
    for task, told in work.told.items():
        assert told == [ends[task]], (task, told, ends.get(task))
    returned = {(c["task"], c["attempt"]) for c in calls if c.get("how") == "returned"}
    for record in records:
        match record.fact:
            case JobDone(outcome="succeeded") as fact if fact.host == "steady":
                assert (fact.task, fact.attempt) in returned, f"{fact.task} was never done"
    return len(lost), len(doubled)
