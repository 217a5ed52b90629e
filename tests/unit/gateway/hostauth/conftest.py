"""Fixtures: a host that asks for OAuth, and a gateway's part in signing in there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.bus.bus import Bus
from services.keys.vault import KeyFile
from services.process.files import write_private
from tests.support.host_auth import HostAuth, host_auth
from tests.unit.gateway.hostauth.linking import Linking
from tests.unit.gateway.world import KEY


@pytest.fixture
async def auth() -> AsyncIterator[HostAuth]:
    """The host and its authorization server."""
    async with host_auth() as one:
        yield one


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    """The master key of the installation."""
    path = tmp_path / "master.key"
    write_private(path, KEY)
    return KeyFile(path)


@pytest.fixture
def one(bus: Bus, key: KeyFile, auth: HostAuth) -> Linking:
    """A gateway."""
    return Linking(bus, key, auth)
