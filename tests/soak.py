"""`make soak`: hours of chaos on one orchestrator, in rounds that have a seed of their own each.

After a round everything is checked that was done since the start; what does not hold ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from contracts.facts import JobDone
from tests.support import chaos, invariants
from tests.support.system import system

ROUND_S = 300.0
TASKS_PER_S = 5
SLOTS = 8


async def soak(folder: Path, seed: int, rounds: Sequence[tuple[float, int]]) -> AsyncIterator[str]:
    """Do rounds of so many seconds and tasks; a line after each tells how the system is."""
    sick = chaos.manifest(folder, seed, SLOTS)
    async with system(folder, {chaos.STEADY: SLOTS}, extra=sick, executors=2) as one:
        chaos.add_router(one.running)
        accepted: list[str] = []
        for number, (seconds, tasks) in enumerate(rounds):
            plan = chaos.plan(seed + number, tasks, seconds, label=f"round-{number}")
            accepted += await chaos.drive(one, plan)
            records = await one.all_done(accepted)
            invariants.check(records, one.calls(), accepted)
            invariants.audited(records)
            ends = Counter(r.fact.outcome.value for r in records if isinstance(r.fact, JobDone))
            yield (
                f"round {number + 1} of {len(rounds)}, {chaos.SEED}={seed + number}:"
                f" {len(accepted)} tasks, {len(records)} facts, {dict(ends)};"
                f" {memory(one.running.pids)}"
            )


def memory(pids: dict[str, int]) -> str:
    """What each process has in memory."""
    listed = ["ps", "-o", "pid=,rss=", "-p", ",".join(map(str, pids.values()))]
    lines = subprocess.run(listed, capture_output=True, text=True, check=False).stdout.split("\n")
    sizes = {int(pid): int(kib) // 1024 for pid, kib in (line.split() for line in lines if line)}
    return ", ".join(f"{name} {sizes.get(pid, 0)} MiB" for name, pid in pids.items())


async def main() -> None:
    """Soak for as long as the command line says."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    options = parser.parse_args()
    count = max(1, round(options.minutes * 60 / ROUND_S))
    seconds = options.minutes * 60 / count
    rounds = [(seconds, round(seconds * TASKS_PER_S))] * count
    seed = chaos.seed() if chaos.SEED in os.environ else random.randrange(10**6)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        async for line in soak(Path(folder), seed, rounds):
            print(line, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
