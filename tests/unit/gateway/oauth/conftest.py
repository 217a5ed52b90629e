"""A gateway with a user, as OAuth needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.bus.bus import Bus
from services.process.files import write_private
from tests.support.oauth_browser import Browser, HandMade
from tests.unit.gateway.oauth.acting import followed, person
from tests.unit.gateway.world import KEY, World, world


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The master key of all gateways that share the server of the tests."""
    path = tmp_path_factory.mktemp("key") / "master.key"
    write_private(path, KEY)
    return path


@pytest.fixture
async def one(tmp_path: Path, bus: Bus, key_file: Path) -> AsyncIterator[World]:
    """A running gateway that knows people."""
    async with world(tmp_path, bus, key_file=key_file) as gateway, followed(gateway) as running:
        yield running


@pytest.fixture
async def browser(one: World) -> AsyncIterator[Browser]:
    """The browser of a person with an account."""
    async with person(one) as found:
        yield found


@pytest.fixture
async def client(one: World) -> AsyncIterator[HandMade]:
    """A client that has registered itself."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        made = HandMade(http, one.url)
        assert (await made.register()).status_code == 201
        yield made
