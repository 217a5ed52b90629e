"""Replay: the whole log into views, as services do it whose files were deleted."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from services.bus.bus import Bus
from services.log.jetstream import NatsLog
from services.log.projection import Projection, project
from services.process.troubles import ProcessTroubles
from services.results.actor import FILTERS
from services.router.actor import Router, Writer
from services.router.restored import OpenAgain
from services.router.settings import Settings
from services.store.lease import Lease, LeaseLost
from tests.bench import history
from tests.bench.measure import PATIENCE_S

VIEWS = ("router", "gateway", "results", "registry")


class NoLease:
    """Somebody else leads."""

    async def acquire(self, name: str, holder: str, ttl: int) -> Lease | None:
        """Never."""
        return None

    async def renew(self, lease: Lease) -> Lease:
        """It was never given."""
        raise LeaseLost("it was never given")

    async def release(self, lease: Lease) -> None:
        """It was never given."""


async def measure(folder: Path, tasks: int) -> dict[str, Any]:
    """Facts a second from the log's beginning into each view alone, and into all at once."""
    async with history.served(folder / "store") as url:
        await history.fill(url, tasks)
        return await of_log(url, folder)


async def of_log(url: str, folder: Path) -> dict[str, Any]:
    """The same of a log that is there."""
    found: dict[str, Any] = {}
    for name in VIEWS:
        found |= await rebuilt(url, folder / "alone", (name,))
    return {"alone": found, "together": await rebuilt(url, folder / "together", VIEWS)}


async def rebuilt(url: str, folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Each view in a process of its own, all at the same time."""
    command = (sys.executable, "-m", "tests.bench.replay", url, str(folder))
    running = [
        await asyncio.create_subprocess_exec(*command, name, stdout=asyncio.subprocess.PIPE)
        for name in names
    ]
    answers = await asyncio.gather(*(one.communicate() for one in running))
    return {
        name: json.loads(out.splitlines()[-1])
        for name, (out, _) in zip(names, answers, strict=True)
    }


async def rebuild(url: str, folder: Path, name: str) -> dict[str, float]:
    """Build one view; its rates count the facts of the whole log, also those that it leaves out."""
    view = importlib.import_module(f"services.{name}.projection")
    bus = await Bus.connect(url, name=name)
    async with await NatsLog.open(bus) as log:
        head = await log.head()
        projection = await Projection.open(folder / f"{name}.db", view.SCHEMA, view.VERSION)
        began, used = time.perf_counter(), time.process_time()
        async with following(log, projection, name):
            await projection.reached(head, PATIENCE_S * 10)
            seconds, cpu = time.perf_counter() - began, time.process_time() - used
        await projection.close()
    await bus.close()
    return {"facts": head, "facts_per_s": head / seconds, "cpu_us_per_fact": cpu / head * 1e6}


@contextlib.asynccontextmanager
async def following(log: NatsLog, projection: Projection, name: str) -> AsyncIterator[None]:
    """The service's own way of following, as a task."""
    view: Any = importlib.import_module(f"services.{name}.projection")
    match name:
        case "router":
            standing = OpenAgain(projection.path.with_suffix(".restored"), ProcessTroubles())
            who = Writer("router-1", "bench")
            router = Router(log, projection, NoLease(), Settings(), who, standing)
            work = router.run()
        case "results":
            work = project(log, projection, FILTERS, view.Rows().apply)
        case "registry":
            hosts = view.View()
            work = project(
                log,
                projection,
                ("mcp.>",),
                hosts.apply,
                on_batch=lambda batch: hosts.fold(batch.records),
            )
        case _:
            work = project(log, projection, (">",), view.apply)
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


if __name__ == "__main__":
    print(json.dumps(uvloop.run(rebuild(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))))
