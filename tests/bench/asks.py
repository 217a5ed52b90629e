"""What tasks that wait for a person cost while they wait: memory and CPU of every process."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import websockets

from services.log.sqlite import CACHE
from services.log.view import view_path
from services.up import up
from tests.bench import measure as machine
from tests.bench.pipeline import FRAME, NOOP, NOOP_TASK, VARIABLES
from tests.bench.streams import until_over

AT_ONCE = 500
MOST_KIB = 2.0
"""Of one waiting task, in each process."""
PAGES = ("page_count", "page_size")
SETTLE_S = 5.0
"""Views are written, and what writing them took is given back."""


class Load(NamedTuple):
    """How many tasks wait, and for how long it is watched."""

    tasks: int = 10_000
    seconds: float = 30.0


class Memory(NamedTuple):
    """Of one process, in KiB."""

    rss: float
    view: float
    """What of it is pages of its view, which are no more than so much however many tasks wait."""


@contextlib.asynccontextmanager
async def orchestrator(folder: Path, load: Load) -> AsyncIterator[up.Running]:
    """Everything running, with one host of which every call has to be allowed."""
    manifest = folder / "asking.toml"
    manifest.write_text(NOOP.replace("limits =", 'approve = ["noop"]\nlimits ='))
    most = {"METAMCP_BUDGET_OPEN_TASKS": str(2 * load.tasks)}
    plan = up.Plan(data=folder / "data", manifests=(manifest,), port=0, variables=VARIABLES | most)
    async with up.start(plan) as running:
        yield running


async def measure(folder: Path, load: Load) -> dict[str, Any]:
    """KiB of each waiting task and CPU of all of them together, by process.

    As many wait already when memory is read first: what the work of asking took, and what is loaded
    once, is there by then.
    """
    async with orchestrator(folder, load) as running:
        await ask(running, "v", load.tasks)
        await until_over(SETTLE_S)
        idle = await used(running.pids, load.seconds)
        before = memory(running)
        await ask(running, "w", load.tasks)
        await until_over(SETTLE_S)
        waiting = await used(running.pids, load.seconds)
        after = memory(running)
    return {
        "tasks": load.tasks,
        "seconds": load.seconds,
        "kib_each": {name: (after[name].rss - before[name].rss) / load.tasks for name in after},
        "view_kib_each": {
            name: (after[name].view - before[name].view) / load.tasks for name in after
        },
        "cpu_s": waiting,
        "cpu_s_before": idle,
    }


async def ask(running: up.Running, label: str, tasks: int) -> None:
    """Create tasks, and wait until all of them wait."""
    async with websockets.connect(
        running.url.replace("http", "ws", 1) + "/api/stream",
        subprotocols=[websockets.Subprotocol("metamcp.v1")],
        additional_headers={"Authorization": f"Bearer {running.token}"},
        max_size=None,
        compression=None,
    ) as socket:
        wanted = '{"op":"subscribe","ref":0,"sub":"a","to":"tasks","types":["task.asked"]}'
        await socket.send(wanted, text=True)
        sent = asked = 0
        while asked < tasks:
            while sent < tasks and sent - asked < AT_ONCE:
                sent += 1
                task = f"{label}-{sent}".encode()
                await socket.send(FRAME % (sent, task, NOOP_TASK), text=True)
            async with asyncio.timeout(machine.PATIENCE_S):
                frame = msgspec.json.decode(await socket.recv())
            if frame["op"] == "error":
                raise RuntimeError(frame["message"])
            asked += len(frame["events"]) if frame["op"] == "events" else 0


def memory(running: up.Running) -> dict[str, Memory]:
    """Of each process now."""
    return {
        name: Memory(machine.rss_kib(pid), pages_kib(view_path(running.data, name)))
        for name, pid in running.pids.items()
    }


def pages_kib(view: Path) -> float:
    """How big the pages of a view are; each has a place in memory up to `CACHE` bytes in all."""
    if not view.exists():
        return 0.0
    with contextlib.closing(sqlite3.connect(f"file:{view}?mode=ro", uri=True)) as found:
        (count,), (size,) = (found.execute(f"PRAGMA {of}").fetchone() for of in PAGES)
    return float(min(count * size, CACHE)) / 1024


async def used(pids: dict[str, int], seconds: float) -> dict[str, float]:
    """CPU time of each process while nothing is asked of it, in seconds."""
    before = {name: machine.cpu_us(pid) for name, pid in pids.items()}
    await until_over(seconds)
    return {name: (machine.cpu_us(pid) - before[name]) / 1e6 for name, pid in pids.items()}


def report(found: dict[str, Any]) -> None:
    """Print the figures for people."""
    print(f"waiting tasks      {found['tasks']:10}   watched for {found['seconds']:g} s")
    for name, kib in sorted(found["kib_each"].items()):
        view = found["view_kib_each"][name]
        more = "" if kib - view <= MOST_KIB else f"   more than {MOST_KIB:g}"
        cpu = f"{found['cpu_s'][name]:.2f} s CPU, {found['cpu_s_before'][name]:.2f} s before them"
        print(f"  {name:16} {kib:10.2f} KiB each, {view:.2f} of its view; {cpu}{more}")
