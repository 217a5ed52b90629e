"""Clients of others come in by OAuth, in installations of their own, told the URL alone."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from services.gateway.people.records import OAuthClient
from services.process.files import free_port
from tests.support.facts import name
from tests.support.foreign import clients, clients_page, install
from tests.support.foreign.program import run
from tests.support.nats import NatsServer
from tests.support.oauth_browser import Browser, query
from tests.unit.gateway.oauth.acting import followed, person
from tests.unit.gateway.world import World, world

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
ALL = os.environ.get("FOREIGN_CLIENTS") == "all"
FASTMCPS = ["fastmcp.txt", *(f"fastmcp-{major}.txt" for major in "24" if ALL)]
OPENED = "opened"
"""What a person's browser was sent to, a line each."""
FASTMCP = """
import asyncio, sys
from fastmcp import Client

async def main():
    async with Client(sys.argv[1], auth="oauth") as client:
        print(" ".join(tool.name for tool in await client.list_tools()))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def node() -> install.Node:
    """Node with the packages of npm."""
    try:
        return install.node()
    except install.NotToBeHad as error:
        pytest.skip(str(error))


@pytest.fixture
async def one(fresh_nats: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    async with (
        fresh_nats.connected("gateway") as bus,
        world(tmp_path, bus) as gateway,
        followed(gateway) as running,
    ):
        yield running


def opens(folder: Path, browser: Browser) -> Path:
    """A program that opens an address as the person's browser does, and notes that it has."""
    script = folder / "browse"
    asks = f'{sys.executable} -m tests.support.foreign.browse "$1" {browser.user} {browser.gateway}'
    noted = f'echo "$1" >> {folder / OPENED}'
    script.write_text(f"#!/bin/sh\n{noted}\ncd {ROOT}\nexec {asks}\n")
    script.chmod(0o700)
    return script


def comes_with(node: install.Node, folder: Path, browser: Browser) -> dict[str, str]:
    """The environment of a program of npm that opens this person's browser."""
    script = opens(folder, browser)
    return {"PATH": node.path, "HOME": str(folder), "BROWSER": str(script)}


def spoiled(folder: Path, kept: str) -> str:
    """Make the access token that a client keeps in a file no good; what the file had."""
    (file,) = folder.glob(kept)
    before = file.read_text()
    after = re.sub(r"(access_token\W+)[\w.-]+", r"\1spoiled", before)
    assert after != before
    file.write_text(after)
    return before


def refreshed_alone(folder: Path, kept: str, before: str) -> bool:
    """Whether it has another refresh token, and has asked its person once in all."""
    (file,) = folder.glob(kept)
    old, new = (re.findall(r"mtr_[\w.-]+", text) for text in (before, file.read_text()))
    opened = (folder / OPENED).read_text().split()
    return (len(old), len(new), len(opened)) == (1, 1, 1) and old != new


@pytest.mark.parametrize("major", ["1", "2"])
async def test_the_typescript_sdk_comes_in_and_refreshes(
    one: World, node: install.Node, major: str
) -> None:
    agent = await asyncio.create_subprocess_exec(
        *(*node.script("oauth_agent.mjs"), major, f"{one.url}/mcp"),
        env={"PATH": node.path},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert agent.stdin is not None
    assert agent.stdout is not None
    assert agent.stderr is not None
    try:
        async with asyncio.timeout(60):
            told: dict[str, Any] = json.loads(await agent.stdout.readline())
            assert told["error"] == "UnauthorizedError"
            asked = query(told["goes"])
            assert (asked["scope"], asked["resource"]) == ("mcp:call", f"{one.url}/mcp")
            async with person(one) as browser:
                back = await browser.visit(told["goes"])
            agent.stdin.write(f"{back}\n".encode())
            seen = json.loads(await agent.stdout.readline())
    finally:
        if agent.returncode is None:
            agent.kill()
        errors = (await agent.stderr.read()).decode()
        await agent.wait()
    assert "submit_task" in seen["seen"], errors
    assert seen["refreshed"] == seen["seen"]
    assert seen["asked"] is None, "its refresh token was enough"
    clients_page.came_in(clients.TYPESCRIPT, major)


@pytest.mark.parametrize("major", ["1", "2"])
async def test_the_python_sdk_comes_in(one: World, major: str) -> None:
    try:
        old = await asyncio.to_thread(install.python, "mcp-1.txt")
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    agent = await asyncio.create_subprocess_exec(
        *(old if major == "1" else sys.executable, install.HERE / "oauth_agent.py"),
        f"{one.url}/mcp",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert agent.stdout is not None
    try:
        async with asyncio.timeout(60):
            goes = json.loads(await agent.stdout.readline())["goes"]
            async with person(one) as browser:
                back = await browser.visit(goes)
            out, errors = await agent.communicate(f"{back}\n".encode())
    finally:
        if agent.returncode is None:
            agent.kill()
            await agent.communicate()
    assert agent.returncode == 0, errors.decode()
    assert "submit_task" in json.loads(out)["seen"]
    clients_page.came_in(clients.PYTHON, major)


@pytest.mark.parametrize("pins", FASTMCPS)
async def test_fastmcp_opens_a_browser_and_comes_in(one: World, tmp_path: Path, pins: str) -> None:
    try:
        python = await asyncio.to_thread(install.python, pins)
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    async with person(one) as browser:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            # In the background (`&`): FastMCP listens for the answer in the same thread.
            "BROWSER": f"{opens(tmp_path, browser)} %s &",
        }
        ended = await run(python, "-c", FASTMCP, f"{one.url}/mcp", **environment)
    assert "submit_task" in ended.text()
    for version in {client.version for client in clients.ALL if client.pins == pins}:
        clients_page.came_in(clients.FASTMCP, version)


async def test_mcp_remote_brings_in_a_client_that_speaks_stdio_alone(
    one: World, node: install.Node, tmp_path: Path
) -> None:
    async with person(one) as browser:
        # It gives a person 30 s, which a busy machine may need.
        patient = ("--auth-timeout", "80")
        command, *arguments = (*node.program("mcp-remote"), f"{one.url}/mcp", *patient)
        environment = comes_with(node, tmp_path, browser)
        bridge = StdioServerParameters(command=command, args=arguments, env=environment)
        assert await through(bridge) == {"result": []}
        before = spoiled(tmp_path, ".mcp-auth/*/*_tokens.json")
        assert await through(bridge) == {"result": []}
    assert refreshed_alone(tmp_path, ".mcp-auth/*/*_tokens.json", before)
    clients_page.came_in(clients.BRIDGE, "")


async def through(bridge: StdioServerParameters) -> Any:
    """List the tools, and call one."""
    async with asyncio.timeout(90), Client(stdio_client(bridge)) as client:
        assert "submit_task" in {tool.name for tool in (await client.list_tools()).tools}
        return (await client.call_tool("list_hosts", {})).structured_content


async def test_the_inspector_comes_in_and_refreshes(
    one: World, node: install.Node, tmp_path: Path
) -> None:
    async with person(one) as browser:
        back = f"http://127.0.0.1:{free_port('127.0.0.1')}/oauth/callback"
        called = (
            *(*node.program("mcp-inspector"), "--cli", f"{one.url}/mcp", "--callback-url", back),
            *("--connect-timeout", "80000", "--method", "tools/call", "--tool-name", "list_hosts"),
        )
        # It opens a browser without a terminal, and keeps tokens where no desktop is.
        told = {"MCP_AUTO_OPEN_ENABLED": "true", "MCP_INSPECTOR_SECRET_STORE": "file"}
        environment = comes_with(node, tmp_path, browser) | told
        first = (await run(*called, **environment)).json()
        assert first["structuredContent"] == {"result": []}
        before = spoiled(tmp_path, ".mcp-inspector/secrets.json")
        again = (await run(*called, "--stored-auth-only", **environment)).json()
        assert again["structuredContent"] == {"result": []}
    assert refreshed_alone(tmp_path, ".mcp-inspector/secrets.json", before)
    clients_page.came_in(clients.INSPECTOR, "")


async def test_the_conformance_suite_finds_a_right_authorization_server(
    one: World, node: install.Node, tmp_path: Path
) -> None:
    """Both of its scenarios for authorization servers."""
    port = free_port("127.0.0.1")
    clients = one.site.oauth.clients
    client = OAuthClient(
        id=name("c"), name="suite", redirects=(f"http://127.0.0.1:{port}/callback",)
    )
    assert await clients.table.put(client.id, client, 0)
    suite = await asyncio.create_subprocess_exec(
        *(*node.program("conformance"), "authorization", "--url", one.url),
        *("--client-id", client.id, "--resource", f"{one.url}/mcp", "--port", str(port)),
        *("-o", str(tmp_path)),
        env={"PATH": node.path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert suite.stdout is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(90), person(one) as browser:
            async for line in suite.stdout:
                said.append(line.decode().strip())
                if said[-1].startswith("Callback server started"):
                    goes = next(text for text in said if "/oauth/authorize?" in text)
                    back = await browser.visit(goes)
                    assert (await browser.http.get(back)).status_code == 200
            code = await suite.wait()
    finally:
        if suite.returncode is None:
            suite.kill()
    told = "\n".join(said)
    assert code == 0, told
    assert "Total: 3 passed, 0 failed" in told
