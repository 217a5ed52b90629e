"""Replay: the whole log into a view, as a service does it whose file was deleted."""

from __future__ import annotations

import asyncio
import importlib
import time
from pathlib import Path

from services.log.jetstream import NatsLog
from services.log.port import Append
from services.log.projection import Projection, project
from services.up import up
from services.up.nats_config import AUDITOR
from tests.bench.fanout import LATER
from tests.support import facts


async def fill(running: up.Running, count: int) -> None:
    """Put tasks into the log, as the gateway does."""
    bus = await up.connect(running.nats_url, "gateway", running.credentials, name="bench-fill")
    async with await NatsLog.open(bus) as log:
        for _ in range(0, count, 5000):
            await log.append_all([Append(facts.created("bench", spec=LATER)) for _ in range(5000)])
    await bus.close()


async def measure(running: up.Running, folder: Path) -> dict[str, float]:
    """Facts a second from the log's beginning into the gateway's own tables."""
    view = importlib.import_module("services.gateway.projection")
    bus = await up.connect(running.nats_url, AUDITOR, running.credentials, name="bench-replay")
    async with await NatsLog.open(bus) as log:
        head = await log.head()
        projection = await Projection.open(folder / "replay.db", view.SCHEMA, view.VERSION)
        started = time.perf_counter()
        following = asyncio.create_task(project(log, projection, (">",), view.apply))
        await projection.reached(head, 600)
        seconds = time.perf_counter() - started
        following.cancel()
        await asyncio.wait([following])
        await projection.close()
    await bus.close()
    return {"facts": head, "facts_per_s": head / seconds}
