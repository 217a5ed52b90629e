"""A gateway with those behind it: a registry, a results service, and what a router recomputes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contracts.wire import Discovered
from services.huggingface.datasets import Datasets
from services.huggingface.hub import Hub
from services.registry.settings import Settings as RegistrySettings
from services.results.actor import Keeper
from services.results.listing import Listing
from services.results.settings import Settings as ResultsSettings
from services.router.audits import RouteAudits
from services.router.settings import Settings as RouterSettings
from services.store.blobs import Blobs
from tests.support.nats import NatsServer
from tests.unit.gateway.served import registry
from tests.unit.gateway.world import QUICK, SETTINGS, World, world
from tests.unit.results.test_actor import keeping

AWAY = "http://127.0.0.1:1"
"""Nobody listens there."""
ENTRY = {
    "endpoint": {"kind": "http", "url": f"{AWAY}/mcp"},
    "limits": {"start_s": 0.1},
    "probe": {"interval_s": 3600.0},
}
"""A host as a user registers it; what it is like does not change by itself during a test."""


class Whole(World):
    """One running gateway, and whoever looks after results."""

    keeper: Keeper

    async def written(self) -> None:
        """Wait until all have read the whole log."""
        head = await self.log.head()
        for projection in (self.site.projection, self.keeper._projection):
            assert await projection.reached(head, 20)
        await self.settled()


async def no_spaces(user: str) -> Discovered:
    return Discovered(())


@contextlib.asynccontextmanager
async def whole(
    server: NatsServer, folder: Path, hub_url: str = AWAY, github_url: str = AWAY
) -> AsyncIterator[Whole]:
    """Run them all; the URLs are where Hugging Face and GitHub are."""
    chosen = msgspec.structs.replace(
        SETTINGS, github_url=github_url, public_url="https://t.example"
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("HF_ENDPOINT", hub_url)
        bus = await stack.enter_async_context(server.connected("gateway"))
        registry_bus = await stack.enter_async_context(server.connected("registry"))
        results_bus = await stack.enter_async_context(server.connected("results"))
        router_bus = await stack.enter_async_context(server.connected("router"))
        one = await stack.enter_async_context(world(folder, bus, chosen))
        rules = RegistrySettings(allow_noop=True, probe_limit_s=1.0)
        await stack.enter_async_context(registry(one, registry_bus, folder, rules, no_spaces))
        keeper = await stack.enter_async_context(
            keeping(one.log, Blobs(results_bus), folder / "results.sqlite")  # type: ignore[arg-type]
        )
        hub = Hub(hub_url, patience=QUICK)
        stack.push_async_callback(hub.close)
        listing = Listing(Datasets(hub), one.site.linking._accounts, ResultsSettings())
        handlers = keeper.commands() | {"tasks": listing.tasks}
        await results_bus.serve("results", "1.0.0", handlers)
        audits = RouteAudits(one.log, RouterSettings())
        await router_bus.serve("router", "1.0.0", {"recompute": audits.answer})
        complete = Whole(one.site, one.log, one.url, bus)
        complete.keeper = keeper
        yield complete
