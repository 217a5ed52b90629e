"""The results service put together: connection, log, object store, table, commands."""

from __future__ import annotations

import asyncio

from services.join import join
from services.process import Process
from services.projection import Projection, view_path
from services.results.actor import Keeper
from services.results.projection import SCHEMA, VERSION
from services.results.settings import Settings
from services.settings import Common
from services.store import Blobs

NAME = "results"


async def serve(process: Process, common: Common, settings: Settings) -> None:
    """Run until the process stops."""
    bus, log = await join(process, common)
    path = view_path(common.data, process.instance)
    projection = await Projection.open(path, SCHEMA, VERSION)
    process.on_drain(projection.close)
    keeper = Keeper(log, projection, Blobs(bus), settings.checks_at_once)
    following = process.spawn("results/follow", keeper.follow())

    async def stop_following() -> None:
        following.cancel()
        await asyncio.wait((following,))

    process.on_drain(stop_following)
    process.spawn("results/check", keeper.check())
    handlers = {"get": keeper.get, "list": keeper.list_results, "verify": keeper.verify}
    await bus.serve(NAME, "1.0.0", handlers)
    await process.stopping.wait()
