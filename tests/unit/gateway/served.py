"""A real registry that a gateway under test asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from services.bus.bus import Bus
from services.log.projection import Projection
from services.registry.actor import Registry
from services.registry.commands import Commands, Discover
from services.registry.projection import SCHEMA, VERSION
from services.registry.service import served
from services.registry.settings import Settings
from tests.unit.gateway.world import World


@contextlib.asynccontextmanager
async def registry(
    gateway: World, bus: Bus, folder: Path, settings: Settings, discover: Discover
) -> AsyncIterator[None]:
    """Serve it on `bus`, over the gateway's own log; users may register hosts on this machine."""
    projection = await Projection.open(folder / "registry.sqlite", SCHEMA, VERSION)
    actor = Registry(gateway.log, projection, "registry-1", settings)
    tasks = [asyncio.create_task(actor.follow()), asyncio.create_task(actor.run(()))]
    try:
        await actor.watching.wait()
        commands = Commands(actor, settings, discover, allow_private=True)
        await bus.serve("registry", "1.0.0", served(commands))
        yield
    finally:
        await actor.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await projection.close()
