"""Chaos from a seed: `plan` says which tasks come and who is hit when, `drive` makes it happen.

One seed is one plan, whatever the machine; what comes of it also depends on timing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from contracts.errors import Reason, Rejected
from contracts.facts import Record
from services.bus.bus import Bus
from services.bus.errors import BusError
from services.up import up
from services.up.children import ChildProcess
from services.up.plan import environment
from tests.support.system import RECORDER, System, recorder, until

SEED = "CHAOS_SEED"
"""Environment variable with the seed to repeat."""
VICTIMS = ("executor-1", "executor-2", "router-1", "router-2", "nats")
KILLED = 0.0
SICK: dict[str, dict[str, Any]] = {
    "flapping": {"life_s": [2.0, 8.0], "refuse": 0.4},
    "hanging": {"hang": 0.25},
    "exiting": {"exit": 0.08, "fail": 0.1},
}
"""Three hosts and what ails them, in the words of `recording_mcp.Sickness`."""
STEADY = "steady"
"""A fourth one that is well."""
PUBLISHER = "publisher"


class Wish(NamedTuple):
    """A task, and what its user does about it."""

    at: float
    """Seconds from the beginning."""
    user: str
    """`local` asks over HTTP, `publisher` over NATS."""
    body: dict[str, Any]
    cancelled_s: float | None
    """Seconds after which it is called off."""


class Blow(NamedTuple):
    """One process is killed, or frozen for a while."""

    at: float
    victim: str
    frozen_s: float
    """`KILLED`, or seconds between SIGSTOP and SIGCONT."""


class Plan(NamedTuple):
    """Everything that is done to the system, in order."""

    wishes: list[Wish]
    blows: list[Blow]


def seed() -> int:
    """The seed that was asked for, or always the same: `make soak` takes new ones."""
    return int(os.environ.get(SEED) or 18_511)


def plan(
    seed: int,
    tasks: int,
    seconds: float,
    victims: tuple[str, ...] = VICTIMS,
    label: str = "chaos",
) -> Plan:
    """So many tasks, whose ids begin with the label, and a blow every few seconds in this time."""
    dice = random.Random(seed)
    wishes = [_wish(dice, f"{label}-{number}", seconds) for number in range(tasks)]
    blows: list[Blow] = []
    at = 0.0
    while (at := at + dice.uniform(1.5, 4.5)) < seconds:
        # Everybody in turn, the first time for good.
        turn, place = divmod(len(blows), len(victims))
        if place == 0:
            order = dice.sample(victims, len(victims))
        # While the server is frozen nothing is accepted from anybody.
        longest = 3.0 if order[place] == "nats" else 9.0
        freezes = turn > 0 and dice.random() < 0.5
        blows.append(Blow(at, order[place], dice.uniform(0.5, longest) if freezes else KILLED))
    return Plan(sorted(wishes, key=lambda wish: wish.at), blows)


def _wish(dice: random.Random, task: str, seconds: float) -> Wish:
    user = PUBLISHER if dice.random() < 0.25 else "local"
    body: dict[str, Any] = {
        "type": dice.choices(["work", "nobody_does_this"], [0.98, 0.02])[0],
        "id": task,
        "input": {"ms": dice.choice([1, 5, 20, 100, 400])},
        "priority": dice.choice(["high", "normal", "low", 9, 0, -3]),
        "on_unknown": dice.choice(["fail", "retry"]),
        "retry_tool_errors": dice.random() < 0.5,
        "max_attempts": dice.randint(1, 4),
        "timeout_s": dice.choice([0.5, 1.0, 2.0, 4.0]),
        "deadline_s": dice.choice([3.0, 10.0, 30.0, 60.0]),
    }
    if dice.random() < 0.1:
        body["host"] = STEADY
    if dice.random() < 0.1:
        body["delay_s"] = dice.uniform(0.5, 5.0)
    cancelled_s = dice.uniform(0.0, 3.0) if user == "local" and dice.random() < 0.08 else None
    return Wish(dice.uniform(0.0, seconds), user, body, cancelled_s)


def manifest(
    folder: Path, seed: int, slots: int, sick: Mapping[str, dict[str, Any]] = SICK
) -> Path:
    """Write the manifest of the sick hosts; they record where those of `system` do."""
    tables = []
    for name, sickness in sick.items():
        table = RECORDER.format(
            name=name,
            start=recorder(),
            root=Path(__file__).resolve().parents[2],
            record=folder / "calls.jsonl",
            slots=slots,
        )
        ailment = f"RECORDING_MISBEHAVE = '{json.dumps({'seed': seed} | sickness)}'"
        tables.append(table.replace("endpoint.env = {", f"endpoint.env = {{ {ailment},"))
    path = folder / "sick.toml"
    path.write_text("\n".join(tables))
    return path


def add_router(running: up.Running, instance: str = "router-2") -> None:
    """Start one more router and keep it running, as `metamcp up` keeps the first."""
    environ = environment(running.plan) | {
        "METAMCP_NATS_URL": running.nats_url,
        "METAMCP_DATA": str(running.data),
        "METAMCP_CREDENTIALS": str(running.credentials_file("router")),
        "METAMCP_INSTANCE": instance,
        "METAMCP_LOG_DIR": str(running.logs),
    }
    command = (sys.executable, "-m", "services.router")
    running.supervise(ChildProcess(instance, command, environ))


async def active_router(one: System, after: int = 0) -> Record:
    """Wait for the `log.router` fact of a term later than this."""
    found: list[Record] = []

    async def begun() -> bool:
        async with one.log() as log:
            newest = await log.last("log.router.*")
        found[:] = [newest] if newest and newest.fact.term > after else []  # type: ignore[union-attr]
        return bool(found)

    await until(begun)
    return found[0]


async def drive(one: System, plan: Plan) -> list[str]:
    """Do everything that is planned; the answer is the tasks that were accepted, which is all."""
    start = asyncio.get_running_loop().time()
    bus = await one.publisher()
    try:
        async with asyncio.TaskGroup() as group:
            for wish in plan.wishes:
                group.create_task(_ask(one, bus, wish, start))
            for blow in plan.blows:
                group.create_task(strike(one.running, blow, start))
    finally:
        await bus.close()
    return [wish.body["id"] for wish in plan.wishes]


async def strike(running: up.Running, blow: Blow, start: float = 0.0) -> None:
    """Hit the victim when it is time; one that is down already is left alone."""
    await _time(start + blow.at)
    number = signal.SIGSTOP if blow.frozen_s else signal.SIGKILL
    with contextlib.suppress(KeyError, ProcessLookupError):
        (pid,) = running.kill(blow.victim, number)
        if blow.frozen_s:
            await _time(start + blow.at + blow.frozen_s)
            if running.pids.get(blow.victim) == pid:
                running.kill(blow.victim, signal.SIGCONT)


async def _time(when: float) -> None:
    """Return at this time of the loop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(when):
            await asyncio.Event().wait()


async def _ask(one: System, bus: Bus, wish: Wish, start: float) -> None:
    await _time(start + wish.at)
    if wish.user == PUBLISHER:
        await _publish(bus, wish.body)
    else:
        await one.submit(wish.body["type"], **{k: v for k, v in wish.body.items() if k != "type"})
    if wish.cancelled_s is not None:
        await _time(asyncio.get_running_loop().time() + wish.cancelled_s)
        await _call_off(one, wish.body["id"])


async def _publish(bus: Bus, body: dict[str, Any]) -> None:
    """Create a task over NATS; repeats an id that got no answer, like a good client."""

    async def accepted() -> bool:
        with contextlib.suppress(BusError):
            answer = json.loads(
                await bus.request("metamcp.tasks.submit", json.dumps(body).encode())
            )
            if "task" in answer and "reason" not in answer:
                return True
            if answer["reason"] not in (Reason.UNAVAILABLE, Reason.INTERNAL):
                raise Rejected(Reason(answer["reason"]), answer["message"])
        return False

    await until(accepted, every=0.2)


async def _call_off(one: System, task: str) -> None:
    async def answered() -> bool:
        with contextlib.suppress(httpx.TransportError, OSError):
            answer = await one.http.post(f"{one.url}/api/tasks/{task}/cancel")
            if answer.status_code == 503:
                return False
            # Not found: it is over already.
            assert answer.status_code in (200, 404), answer.text
            return True
        await one.alive()
        return False

    await until(answered, every=0.2)
