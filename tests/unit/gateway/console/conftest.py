"""A gateway, and a browser in which a user of it has signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import Looking, browser, visiting
from tests.support.nats import NatsServer
from tests.unit.gateway.peopled import PASSWORD, added, peopled
from tests.unit.gateway.world import World

ONE_LOOP = pytest.mark.asyncio(loop_scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a browser shares its loop: to start one takes as long as most of these tests."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(ONE_LOOP, append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def one(tmp_path: Path, nats_server: NatsServer) -> AsyncIterator[World]:
    async with nats_server.connected("gateway") as bus, peopled(tmp_path, bus) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def looking(one: World, chromium: Browser) -> AsyncIterator[Looking]:
    async with visiting(chromium, one.url, await added(one)) as found:
        await found.sign_in(PASSWORD)
        yield found
