"""Fixtures of the gateway's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.bus.bus import Bus
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, world


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """A connection with the gateway's own rights."""
    async with nats_server.connected("gateway") as one:
        yield one


@pytest.fixture
async def gateway(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    """A running gateway over a log in memory."""
    async with world(tmp_path, bus) as one:
        yield one
