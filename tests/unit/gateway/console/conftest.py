"""A gateway, and a browser in which a user of it has signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.bus.bus import Bus
from tests.support.browser import Looking, browser
from tests.unit.gateway.peopled import PASSWORD, added, peopled
from tests.unit.gateway.world import World


@pytest.fixture
async def one(tmp_path: Path, bus: Bus) -> AsyncIterator[World]:
    async with peopled(tmp_path, bus) as gateway:
        yield gateway


@pytest.fixture
async def looking(one: World) -> AsyncIterator[Looking]:
    user = await added(one)
    async with browser() as chromium:
        page = await chromium.new_page()
        found = Looking(page, one.url, user)
        await found.sign_in(PASSWORD)
        yield found
        assert found.wrong == []
