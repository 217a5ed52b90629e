"""Users apart, in figures: another user's no-op tasks, alone and beside each of ten abusers.

Each abuser has an orchestrator of its own. The others' tasks are timed alone and beside it in turn;
at the end, while it is still at work, the operator does what puts an end to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.abusers.ten import TEN, Abuse, Abuser, Scene, quiet
from tests.bench.measure import cpu_by_name, median
from tests.bench.others import Others, Sample, doors, others, pause, warm
from tests.support.apart import ABUSER, OTHER, Guest, World, world
from tests.support.processes import memory, restarted, stored_mib
from tests.support.way_out import Act, by_command, way_out

NAMES = tuple(one.name for one in TEN)
RATIO = 2.0
"""The others' p99 beside an abuser is to be no more than so many times that alone."""
ACT_S = 2.0
"""What the operator does by HTTP is to take no longer; a command needs time to start, too."""
CALM_S = 10.0
CALM = 0.2
"""Of a core, in all processes."""
TURNS = 3
"""Stretches alone and beside, whose median counts: one of them may have met something else."""
MOST_HOSTS = 3
"""Of the abuser's, that the operator disables one by one."""


class Load(NamedTuple):
    """How much of everything."""

    seconds: float = 5.0
    """Of each stretch."""
    per_s: float = 40.0
    users: int = 4
    scale: float = 1.0
    """Of the abusers' numbers."""


async def measure(
    folder: Path, names: Sequence[str], load: Load, tell: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """Each abuser in turn; `tell` gets what was found about each, at once."""
    found = {}
    for abuser in TEN:
        if abuser.name in names:
            place = folder / abuser.name
            place.mkdir()
            found[abuser.name] = line = await beside(place, abuser, load)
            tell({abuser.name: line})
    return found


async def beside(folder: Path, abuser: Abuser, load: Load) -> dict[str, Any]:
    """One abuser, on an orchestrator of its own."""
    began = time.perf_counter()
    async with (
        world(folder, files=abuser.files, **abuser.variables) as one,
        others(one, load.users) as rest,
    ):
        guest, visitor = Guest(one, await one.user(ABUSER)), Guest(one, await one.user(OTHER))
        await warm(one, visitor)
        await rest.measure(1.0, load.per_s)
        run = Run(one, guest, visitor, rest, load)
        run.quiet = await quiet(guest)
        await (run.lasting(abuser) if abuser.lasting else run.by_turns(abuser))
        return {**run.report(), "took_s": time.perf_counter() - began}


class Run:
    """The stretches on one orchestrator and what was seen in them."""

    def __init__(self, one: World, guest: Guest, visitor: Guest, rest: Others, load: Load) -> None:
        self._world = one
        self._guest = guest
        self._visitor = visitor
        self._others = rest
        self._load = load
        self._before = one.processes()
        self._memory = memory(one.running.pids)
        self._disk = stored_mib(one.running.data)
        self._peak = self._memory
        self._alone: list[Sample] = []
        self._beside: list[Sample] = []
        self._acts: list[Act] = []
        self._command: Act | None = None
        self._doors: list[str] = []
        self._restarted: set[str] = set()
        self._said: dict[str, Any] = {}
        self.quiet: list[str] = []
        """Hosts of the abuser that do no harm."""

    async def by_turns(self, abuser: Abuser) -> None:
        """Alone, beside, alone, beside, and so on."""
        for turn in range(TURNS):
            await calm(self._world)
            await self._time(self._alone)
            async with abuser.attack(self._scene(turn)) as abuse:
                await self._at_work(abuse, last=turn == TURNS - 1)

    async def lasting(self, abuser: Abuser) -> None:
        """First alone, then beside it: what it leaves behind can't be taken back."""
        for _ in range(TURNS):
            await self._time(self._alone)
        async with abuser.attack(self._scene(0)) as abuse:
            for turn in range(TURNS):
                await self._at_work(abuse, last=turn == TURNS - 1)

    def report(self) -> dict[str, Any]:
        """What was seen, as numbers and words."""
        alone, beside = _figures(self._alone), _figures(self._beside)
        ratio = beside["p99_ms"] / alone["p99_ms"]
        failures = beside["late"] + beside["refused"] + len(self._doors)
        slowest = max((act.seconds for act in self._acts), default=0.0)
        acts = [*self._acts, *([self._command] if self._command else [])]
        failed = [act for act in acts if not act.ok]
        return {
            "alone": alone,
            "beside": beside,
            "ratio": ratio,
            "doors_shut": self._doors,
            "restarted": sorted(self._restarted),
            "acts": [act._asdict() for act in acts],
            "command_s": self._command.seconds if self._command else None,
            "slowest_act_s": slowest,
            "disk_mib": stored_mib(self._world.running.data) - self._disk,
            "memory_before": self._memory,
            "memory_beside": self._peak,
            "abuser": self._said,
            "abuser_refused": sorted({text[:160] for text in self._guest.refusals})[:8],
            "held": ratio <= RATIO
            and not failures
            and not self._restarted
            and not failed
            and slowest < ACT_S,
        }

    def _scene(self, turn: int) -> Scene:
        return Scene(self._world, self._guest, self._load.scale, turn)

    async def _time(self, into: list[Sample]) -> None:
        into.append(await self._others.measure(self._load.seconds, self._load.per_s))

    async def _at_work(self, abuse: Abuse, *, last: bool) -> None:
        await self._time(self._beside)
        self._doors += await doors(self._world, self._visitor)
        self._peak = memory(self._world.running.pids)
        self._said = abuse.said()
        if last:
            first, spare = self.quiet
            hosts = [*abuse.hosts[:MOST_HOSTS], first]
            self._acts += await way_out(self._world, self._guest.user, hosts, abuse.blobs())
            self._command = await by_command(self._world, spare)
        self._restarted |= set(restarted(self._before, self._world.processes()))


async def calm(one: World) -> None:
    """Wait until the orchestrator has little left to do of what came before, or for so long."""
    until = time.perf_counter() + CALM_S
    while time.perf_counter() < until:
        before = sum(cpu_by_name(one.running.pids).values())
        await pause(0.5)
        if sum(cpu_by_name(one.running.pids).values()) - before < CALM * 0.5e6:
            break


def _figures(samples: Sequence[Sample]) -> dict[str, Any]:
    """The median of the stretches, and what failed in any of them."""
    return {
        "p50_ms": median([sample.p50_ms for sample in samples]),
        "p99_ms": median([sample.p99_ms for sample in samples]),
        "p99s_ms": [round(sample.p99_ms, 1) for sample in samples],
        "tasks": sum(len(sample.latencies_ms) for sample in samples),
        "late": sum(sample.late for sample in samples),
        "refused": sum(len(sample.refused) for sample in samples),
        "words": sorted({text for sample in samples for text in sample.refused})[:5],
    }


def report(found: dict[str, Any]) -> None:
    """Print the figures for people: of the others, and of what the operator does."""
    for name, line in found.items():
        alone, beside = line["alone"], line["beside"]
        failed = beside["late"] + beside["refused"] + len(line["doors_shut"])
        print(
            f"{'beside ' + name:18} {beside['p99_ms']:10.2f} ms p99, {alone['p99_ms']:.2f}", end=""
        )
        print(f" alone: {line['ratio']:.2f} times; p50 {beside['p50_ms']:.2f} ms", end="")
        print(f", {alone['p50_ms']:.2f} alone; {failed} of {beside['tasks']} failed", end="")
        print(f"; operator {line['slowest_act_s']:.2f} s", end="")
        print("" if line["held"] else "; NOT HELD", flush=True)
        for text in _remarks(line):
            print(f"  {text}")


def _remarks(line: dict[str, Any]) -> list[str]:
    failed = [f"{act['name']}: {act['said']}" for act in line["acts"] if not act["ok"]]
    slow = [
        f"{act['name']} {act['seconds']:.1f} s"
        for act in line["acts"]
        if act["ok"] and act["seconds"] >= ACT_S
    ]
    grown = ", ".join(_grown(line["memory_before"], line["memory_beside"]))
    texts = {
        "restarted": ", ".join(line["restarted"]),
        "the others heard": "; ".join(line["beside"]["words"]),
        "doors that did not open": "; ".join(line["doors_shut"]),
        "the operator could not": "; ".join(failed),
        "the operator was slow": "; ".join(slow),
        "MiB in RAM before, beside": grown,
        "MiB more on disk": f"{line['disk_mib']:.0f}",
        "the abuser got": ", ".join(f"{key} {value}" for key, value in line["abuser"].items()),
    }
    return [f"{name}: {text}" for name, text in texts.items() if text]


def _grown(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    found = []
    for name, then in before.items():
        now = after.get(name)
        if now is None:
            continue
        text = f"{name} {then['mib']:.0f} {now['mib']:.0f}"
        if then["workers"] or now["workers"]:
            text += f" ({now['workers']} workers {now['workers_mib']:.0f})"
        found.append(text)
    return found
