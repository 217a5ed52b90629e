"""A gateway whose Hugging Face is the stand-in, on a nats-server of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.facts import LogKey
from contracts.wire import Discovered, DiscoverRequest, HttpError
from services.keys.accounts import Accounts
from services.keys.permits import load_or_create
from services.keys.vault import KeyFile, key_path
from services.process.ids import new_id
from tests.support.hub import HubServer, hub_server
from tests.support.nats import NatsServer
from tests.unit.gateway import world as worlds
from tests.unit.gateway.world import SETTINGS, World, world

PATIENCE_S = 30.0
SPACES = "/api/spaces"


class Linked(World):
    """One running gateway, and what it talks to."""

    hub: HubServer
    accounts: Accounts
    """What the other services see of the accounts."""

    async def link(self, client: httpx.AsyncClient, name: str, **token: Any) -> str:
        """Link an account of this name at the Hub; returns its token."""
        made = self.hub.account(name, **token)
        answer = await client.put("/api/accounts/huggingface", json={"token": made})
        assert answer.status_code == 200, answer.text
        return made

    async def written(self) -> None:
        """Wait until the tables hold the whole log."""
        assert await self.site.projection.reached(await self.log.head(), PATIENCE_S)

    def asked(self, method: str, words: str) -> int:
        """How many requests of this kind the Hub has had."""
        return sum(one.method == method and words in one.path for one in self.hub.requests)


@contextlib.asynccontextmanager
async def linked_world(server: NatsServer, folder: Path, **settings: Any) -> AsyncIterator[Linked]:
    """Run a gateway; it reads at its start which Hub is meant."""
    chosen = msgspec.structs.replace(SETTINGS, **settings)
    async with contextlib.AsyncExitStack() as stack:
        hub = await stack.enter_async_context(hub_server(folder / "hub"))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("HF_ENDPOINT", hub.url)
        bus = await stack.enter_async_context(server.connected("gateway"))
        one = await stack.enter_async_context(world(folder, bus, chosen))
        linked = Linked(one.site, one.log, one.url, bus)
        linked.hub = hub
        linked.accounts = Accounts(bus, KeyFile(key_path(folder, None)))
        yield linked


class Registry:
    """Answers `discover` when it is let, and keeps who was asked about."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.arrived = asyncio.Condition()
        self.go = asyncio.Event()

    async def discover(self, request: bytes) -> bytes:
        """The handler."""
        async with self.arrived:
            self.users.append(msgspec.json.decode(request, type=DiscoverRequest).user)
            self.arrived.notify_all()
        await self.go.wait()
        return msgspec.json.encode(Discovered(()))

    async def until(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(PATIENCE_S), self.arrived:
            await self.arrived.wait_for(lambda: len(self.users) >= count)


@contextlib.asynccontextmanager
async def registry_of(gateway: World, server: NatsServer) -> AsyncIterator[Registry]:
    """Serve `cmd.registry.discover`."""
    registry = Registry()
    async with server.connected("registry") as bus:
        await bus.serve("registry", "1.0.0", {"discover": registry.discover})
        try:
            yield registry
        finally:
            registry.go.set()


def error_of(answer: httpx.Response, status: int) -> HttpError:
    assert answer.status_code == status, answer.text
    return worlds.error_of(answer)


async def created(client: httpx.AsyncClient, name: str = "heavy", **fields: Any) -> dict[str, Any]:
    """Make a Space of ann's."""
    answer = await client.post(SPACES, json={"name": name} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]  # type: ignore[no-any-return]


async def key_known(gateway: Linked, folder: Path) -> dict[str, Any]:
    """An executor's key in the log, as the JWKS shows it."""
    key = load_or_create(folder / "permit.pem", "EdDSA")
    await gateway.append(LogKey(id=new_id(), by="executor-1", kid=key.kid, jwk=key.jwk))
    await gateway.written()
    return key.jwk


def variables(gateway: Linked, space: str = "ann/heavy") -> dict[str, str]:
    """What the Space finds in its environment."""
    kept = gateway.hub.repos["space", space].runtime.variables
    return {name: item["value"] for name, item in kept.items()}
