"""A registry at work on a log, for as long as a block."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from contracts.host import Host
from services.log.memory import MemoryLog
from services.log.projection import Projection
from services.registry.actor import Registry
from services.registry.probes.base import UNEQUIPPED, Reach
from services.registry.probes.executors import ExecutorPeers
from services.registry.projection import SCHEMA, VERSION
from services.registry.settings import Settings

QUICK = Settings(probe_limit_s=1.0)


@contextlib.asynccontextmanager
async def running(
    log: MemoryLog,
    file: Path,
    *hosts: Host,
    by: str = "registry-1",
    settings: Settings = QUICK,
    reach: Reach = UNEQUIPPED,
    executors: ExecutorPeers | None = None,
) -> AsyncIterator[Registry]:
    """Follow the log and watch these hosts; the block begins once it watches."""
    projection = await Projection.open(file, SCHEMA, VERSION)
    registry = Registry(log, projection, by, settings, reach, executors)
    tasks = [asyncio.create_task(registry.follow()), asyncio.create_task(registry.run(hosts))]
    try:
        async with asyncio.timeout(20):
            await registry.watching.wait()
        yield registry
    finally:
        await registry.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await projection.close()
