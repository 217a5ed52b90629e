"""One world for all tests of a module that take nothing away from Alice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.nats import NatsServer
from tests.unit.gateway.alices import Alices, alices
from tests.unit.gateway.scoped import take_scoped_tokens


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a world run in the loop in which it was started."""
    for item in items:
        if "shared_alices" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_alices(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Alices]:
    """Take nothing of Alice's away, and make only what is somebody else's."""
    folder = tmp_path_factory.mktemp("alices")
    async with NatsServer(folder / "data") as server, alices(server, folder) as ready:
        take_scoped_tokens(ready.gateway)
        yield ready


@pytest.fixture
def one(shared_alices: Alices) -> Alices:
    return shared_alices


@pytest.fixture
async def own(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[Alices]:
    """A world of one test that uses everything up."""
    async with alices(fresh_nats, tmp_path) as ready:
        take_scoped_tokens(ready.gateway)
        yield ready
