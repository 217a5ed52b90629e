"""Clients of others over a limit at `/mcp`: an agent is told to wait, and its session goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.settings import Settings
from tests.support.foreign import install
from tests.support.foreign.program import run
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, world

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
async def one(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    settings = Settings(port=0, rate_limit_requests=12, rate_limit_window_s=3.0)
    async with fresh_nats.connected("gateway") as bus, world(tmp_path, bus, settings) as gateway:
        yield gateway


async def goes_on(one: World, *command: str, **environment: str) -> None:
    """That a program is told, and goes on."""
    seen = (await run(*command, f"{one.url}/mcp", "alice-token", **environment)).json()
    assert seen["told"].startswith("too many requests: wait ")
    assert "too many requests: wait " in seen["refused"]
    assert seen["again"] == {"result": []}


async def test_a_session_of_the_python_sdk_1(one: World) -> None:
    try:
        python = await asyncio.to_thread(install.python, "mcp-1.txt")
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    await goes_on(one, str(python), str(install.HERE / "limited_1_agent.py"))


@pytest.mark.parametrize("major", ["1", "2"])
async def test_a_session_in_typescript(one: World, major: str) -> None:
    try:
        node = await asyncio.to_thread(install.node)
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    await goes_on(one, *node.script("limited_agent.mjs"), major, PATH=node.path)
