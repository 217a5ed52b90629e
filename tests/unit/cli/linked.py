"""A real gateway that talks to the stand-in of the Hub; a registry that looks at Spaces."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contracts.wire import Discovered, DiscoverRequest, SpaceSeen
from services.cli.app import execute
from services.gateway.settings import Settings
from tests.support.hub import HubServer, hub_server
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, world

APP = """\
import http.server

server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
print(f"running on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


class Linked:
    """The parts of it; the client is alice, at the Hub she is ann."""

    def __init__(self, one: World, hub: HubServer, kit: Path) -> None:
        self.world = one
        self.hub = hub
        self.kit = kit
        self.problem = ""
        """What the registry says of Spaces instead of making them hosts."""
        self.discovered = 0

    async def discover(self, payload: bytes) -> bytes:
        """Answer `cmd.registry.discover`: each Space of the Hub is a host."""
        assert msgspec.json.decode(payload, type=DiscoverRequest).user == "alice"
        self.discovered += 1
        names = [name for kind, name in self.hub.repos if kind == "space"]
        seen = [
            SpaceSeen(name, "RUNNING", "" if self.problem else name.replace("/", "-"), self.problem)
            for name in names
        ]
        return msgspec.json.encode(Discovered(tuple(seen)))


@contextlib.asynccontextmanager
async def linked(
    nats: NatsServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Linked]:
    """Run all of it; commands of this process find it."""
    monkeypatch.chdir(folder)
    kit = folder / "kit"
    kit.mkdir()
    (kit / "README.md").write_text("---\nsdk: docker\n---\n")
    (kit / "Dockerfile").write_text("FROM python:3.12-slim\nCOPY app.py ./\n")
    (kit / "app.py").write_text(APP)
    settings = Settings(
        port=0, rate_limit_requests=0, space_kit=kit, public_url="https://gate.example"
    )
    async with contextlib.AsyncExitStack() as stack:
        hub = await stack.enter_async_context(hub_server(folder))
        for name, value in hub.environment.items():
            monkeypatch.setenv(name, value)
        bus = await stack.enter_async_context(nats.connected("gateway"))
        registry = await stack.enter_async_context(nats.connected("registry"))
        one = await stack.enter_async_context(world(folder, bus, settings))
        parts = Linked(one, hub, kit)
        await registry.serve("registry", "1.0.0", {"discover": parts.discover})
        # These are not this client's settings: it would refuse the one it doesn't know.
        monkeypatch.delenv("METAMCP_SPACE_URL")
        monkeypatch.setenv("METAMCP_URL", one.url)
        monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
        yield parts


async def metamcp(*arguments: str) -> int:
    """Run a command beside the gateway; the answer is its exit code."""
    return await asyncio.to_thread(execute, arguments)
