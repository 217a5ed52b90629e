"""Clients of others whose gateway is killed between two calls: the next call of an agent works."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.support.foreign import install
from tests.support.foreign.reconnects import RECONNECTS, Reconnect
from tests.support.system import System, system, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    folder = tmp_path_factory.mktemp("restart")
    async with system(folder, {"one": 4}, real=False) as running:

        async def healthy() -> bool:
            hosts = (await running.get("/api/mcps")).json()["data"]
            return [host["health"]["status"] for host in hosts] == ["healthy"]

        await until(healthy)
        yield running


def command(client: Reconnect) -> tuple[str, ...]:
    """How its agent is started."""
    try:
        if client.pins == "node":
            node = install.node()
            arguments = client.arguments
            if arguments == ("bridge",):
                arguments = ("bridge", node.program("mcp-remote")[1])
            return (*node.script("again_agent.mjs"), *arguments)
        python = str(install.python(client.pins)) if client.pins else sys.executable
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    return (python, str(install.HERE / "again_agent.py"), *client.arguments)


async def restarted(one: System) -> None:
    """Kill the gateway, and wait until another listens in its place."""
    before = one.running.pids["gateway-1"]
    one.running.kill("gateway")

    async def back() -> bool:
        try:
            answer = await one.get("/api/health/ready")
        except (httpx.TransportError, OSError):
            return False
        return answer.is_success and one.running.pids.get("gateway-1") not in (None, before)

    await until(back)


@pytest.mark.parametrize("name", RECONNECTS)
async def test_a_client_goes_on_after_a_restart(one: System, tmp_path: Path, name: str) -> None:
    client = RECONNECTS[name]
    start = await asyncio.to_thread(command, client)
    agent = await asyncio.create_subprocess_exec(
        *(*start, f"{one.url}/mcp", one.running.token),
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert agent.stdin is not None
    assert agent.stdout is not None
    try:
        async with asyncio.timeout(120):
            begun = await agent.stdout.readline()
            assert begun == b"called\n", (await agent.communicate())[1].decode()
            await restarted(one)
            out, err = await agent.communicate(b"again\n")
    finally:
        if agent.returncode is None:
            agent.kill()
    tries = json.loads(out or b"null")
    assert tries is not None, err.decode()
    assert tries[-1] == "hi", tries
    assert (len(tries) == 1) is client.first, tries
