"""A real registry with discovery, one linked user, and the stand-in of the Hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from contracts import ids
from contracts.account import Provider
from contracts.host import HealthStatus
from contracts.wire import SpaceSeen
from services.bus.bus import Bus
from services.huggingface.hub import Hub, Patience
from services.huggingface.spaces import Spaces
from services.keys.accounts import Accounts
from services.keys.secrets import Secrets
from services.keys.vault import KeyFile
from services.log.memory import MemoryLog
from services.log.projection import Projection
from services.registry.actor import Registry
from services.registry.discovery import SpaceDiscovery
from services.registry.domain import Known
from services.registry.probes.base import Reach
from services.registry.projection import SCHEMA, VERSION
from services.registry.settings import Settings
from tests.support.facts import name
from tests.support.http_host import answer
from tests.support.hub import HubServer, hub_server
from tests.support.nats import NatsServer
from tests.support.system import until

HF = Provider.HUGGINGFACE
MANIFEST = {"capabilities": [{"name": "scan", "task_types": ["scan"]}]}
HEALTHY = answer({"status": "healthy"})
TOOLS = "ann/tools"


def text_of(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


class World:
    """A registry with discovery, one linked user, and the Hub."""

    def __init__(self, bus: Bus, key: KeyFile, hub: HubServer, folder: Path) -> None:
        self.bus = bus
        self.accounts = Accounts(bus, key)
        self.hub = hub
        self.folder = folder
        self.log = MemoryLog()
        self.user = name("u")
        self.token = hub.account("ann")
        self.hub_client = Hub(
            hub.url,
            cache=folder / "cache",
            patience=Patience(attempts=2, seconds=10.0, first_s=0.01),
        )
        self.spaces = Spaces(self.hub_client)
        self.registry: Registry
        self.discovery: SpaceDiscovery

    async def link(self) -> None:
        await self.accounts.link(self.user, HF, "ann", self.token)

    async def space(self, repo: str = TOOLS, *, private: bool = False, **files: Any) -> None:
        """A static Space (so that nothing is built) with these files; mcp_json is mcp.json."""
        await self.spaces.create(self.token, repo, sdk="static", private=private)
        wanted = {key.replace("_", "."): text_of(value) for key, value in files.items()}
        if wanted:
            await self.spaces.deploy(self.token, repo, wanted, "files")

    async def look(self) -> dict[str, SpaceSeen]:
        found = await self.discovery.discover(self.user)
        return {seen.space: seen for seen in found.spaces}

    def id(self, name: str) -> str:
        """The id of this user's host of that name."""
        return ids.host_id(self.user, name)

    def known(self, name: str) -> Known:
        return self.registry.hosts[self.id(name)]

    async def until_status(self, name: str, status: HealthStatus, reason: str = "") -> None:
        async def is_so() -> bool:
            known = self.registry.hosts.get(self.id(name))
            return known is not None and known.status is status and reason in known.reason

        await until(is_so)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        settings = Settings(probe_limit_s=5.0)
        projection = await Projection.open(self.folder / "registry.sqlite", SCHEMA, VERSION)
        secrets = Secrets(self.folder / "secrets", {}, self.accounts.token)
        reach = Reach(secrets, self.hub.space_url, allow_private=True)
        self.registry = Registry(self.log, projection, "registry-1", settings, reach)
        self.discovery = SpaceDiscovery(self.registry, self.accounts, self.spaces, reach, settings)
        tasks = [
            asyncio.create_task(self.registry.follow()),
            asyncio.create_task(self.registry.run(())),
        ]
        try:
            async with asyncio.timeout(20):
                await self.registry.watching.wait()
            yield
        finally:
            await self.discovery.close()
            await self.registry.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await projection.close()

    def asked(self, words: str) -> int:
        return sum(words in one.path for one in self.hub.requests)


@contextlib.asynccontextmanager
async def discovering(nats_server: NatsServer, folder: Path) -> AsyncIterator[World]:
    """Run it all, with the account linked."""
    key = KeyFile(folder / "master.key")
    key.ensure()
    async with nats_server.connected("gateway") as bus, hub_server(folder / "hub") as hub:
        one = World(bus, key, hub, folder)
        await one.link()
        async with one.running():
            yield one
        await one.hub_client.close()
