"""The results service put together: connection, log, stores, tables, commands."""

from __future__ import annotations

import asyncio

from services.bus import health
from services.huggingface.datasets import Datasets
from services.huggingface.hub import Hub
from services.join import join
from services.keys.accounts import Accounts
from services.keys.vault import KeyFile, key_path
from services.log.projection import Projection, view_path
from services.process.run import Process
from services.process.settings import Common
from services.results.actor import Keeper
from services.results.copies import Copies
from services.results.listing import Listing
from services.results.mover import Mover
from services.results.projection import SCHEMA, VERSION
from services.results.settings import Settings
from services.results.sources import DatasetSource, InLog, InStore, Sources
from services.results.sweeper import Sweeper
from services.store.blobs import Blobs

NAME = "results"


async def serve(process: Process, common: Common, settings: Settings) -> None:
    """Run until the process stops."""
    bus, log = await join(process, common, settings)
    data = common.data.expanduser().absolute()
    path = view_path(data, process.instance)
    projection = Projection(path, SCHEMA, VERSION, process.troubles)
    process.on_drain(projection.close)
    hub = Hub(cache=data / "hub-cache")
    process.on_drain(hub.close)
    datasets, blobs = Datasets(hub), Blobs(bus, now=log.now)
    accounts = Accounts(bus, KeyFile(key_path(data, common.master_key)))
    store = InStore(blobs)
    sources = Sources(InLog(log), store, DatasetSource(datasets, accounts))
    copies = Copies(data / "results-cache" / process.instance, settings.cache_bytes, sources.fetch)
    process.on_drain(lambda: asyncio.to_thread(copies.close))
    parts = (log, projection, blobs, datasets, accounts, settings, process.instance)
    sweeper = Sweeper(*parts, now=log.now)
    keeper = Keeper(log, projection, blobs, copies, sweeper, settings)
    moving = data / "moving" / process.instance
    mover = Mover(log, projection, store, datasets, accounts, settings, process.instance, moving)
    keeper.on_big = mover.wake
    process.background("results/follow", keeper.follow())
    process.background("results/move", mover.run())
    process.background("results/sweep", sweeper.run())
    process.spawn("results/check", keeper.check())
    health.show(process, lambda: projection.position)
    listing = Listing(datasets, accounts, settings)
    await bus.serve(NAME, "1.0.0", keeper.commands() | {"tasks": listing.tasks})
    await process.stopping.wait()
