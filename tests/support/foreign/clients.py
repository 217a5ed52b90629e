"""The clients of others that are tried one by one, each with its exact version and protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.foreign import install
from tests.support.foreign.driven import Driven, Inspector, started

LEGACY, MODERN = "2025-11-25", "2026-07-28"
OURS = "ours"
"""In the place of a file of pins: the SDK of this Python."""
PYTHON, TYPESCRIPT = "official SDK, Python", "official SDK, TypeScript"
FASTMCP, BRIDGE, INSPECTOR = "FastMCP", "mcp-remote", "MCP Inspector, command line"
UNHURRIED = ("--connect-timeout", "80000")
PACKAGES = {
    BRIDGE: "mcp-remote",
    INSPECTOR: "@modelcontextprotocol/inspector",
    f"{TYPESCRIPT} 1": "@modelcontextprotocol/sdk",
    f"{TYPESCRIPT} 2": "@modelcontextprotocol/client",
}


class Foreign(NamedTuple):
    """One client, as a row of docs/mcp.md says it."""

    name: str
    version: str
    protocol: str
    pins: str = ""
    """Its Python packages; empty: it is of npm."""
    more: bool = False
    """Tried with FOREIGN_CLIENTS=all alone, as `make clients` has it."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}, {self.protocol}"

    @contextlib.asynccontextmanager
    async def connected(self, url: str, token: str, home: Path) -> AsyncIterator[Driven]:
        """The client with a session. Raises NotToBeHad."""
        node = await asyncio.to_thread(install.node)
        kept = {"PATH": node.path, "HOME": str(home)}
        bearer = f"Authorization: Bearer {token}"
        era = "legacy" if self.protocol == LEGACY else "modern"
        if self.name == INSPECTOR:
            where = ("--cli", url, "--transport", "http", "--header", bearer)
            told = (*where, "--protocol-era", era, "--quiet", "--stored-auth-only", *UNHURRIED)
            yield Inspector((*node.program("mcp-inspector"), *told), kept, self.protocol)
            return
        given: dict[str, Any] = {"url": url, "token": token, "era": era}
        if self.name == BRIDGE:
            header = ("--header", "Authorization:${BEARER}")
            command = (*node.program("mcp-remote"), url, *header, "--silent")
            given |= {"command": command, "env": kept | {"BEARER": f"Bearer {token}"}}
        async with started(await self._command(node), given, **kept) as one:
            yield one

    async def _command(self, node: install.Node) -> tuple[str | Path, ...]:
        if self.name == TYPESCRIPT:
            return (*node.script("sdk_driver.mjs"), self.version[0])
        driver = "fastmcp_driver.py" if self.name == FASTMCP else "sdk_driver.py"
        python: str | Path = sys.executable
        if self.pins != OURS and self.name != BRIDGE:
            python = await asyncio.to_thread(install.python, self.pins)
        return python, install.HERE / driver


def _pinned(pins: str, package: str) -> str:
    """The exact version in a file of pins."""
    found = re.search(rf"^{package}(?:-slim)?==([0-9.]+)", (install.HERE / pins).read_text(), re.M)
    assert found is not None, pins
    return found[1]


def _of_npm(name: str, major: str = "") -> str:
    packages = json.loads((install.HERE / "package.json").read_text())["dependencies"]
    return str(packages[PACKAGES[f"{name} {major}".strip()]])


def _all() -> list[Foreign]:
    def both(name: str, version: str, pins: str = "") -> list[Foreign]:
        """One that speaks both; the older protocol is tried with the others of before."""
        older = Foreign(name, version, LEGACY, pins, more=True)
        return [older, Foreign(name, version, MODERN, pins)]

    return [
        Foreign(PYTHON, _pinned("mcp-1.txt", "mcp"), LEGACY, "mcp-1.txt"),
        *both(PYTHON, metadata.version("mcp"), OURS),
        Foreign(TYPESCRIPT, _of_npm(TYPESCRIPT, "1"), LEGACY),
        *both(TYPESCRIPT, _of_npm(TYPESCRIPT, "2")),
        *(
            Foreign(FASTMCP, _pinned(pins, "fastmcp"), LEGACY, pins, more=True)
            for pins in ("fastmcp-2.txt", "fastmcp-3.txt")
        ),
        *both(FASTMCP, _pinned("fastmcp.txt", "fastmcp"), "fastmcp.txt"),
        Foreign(FASTMCP, _pinned("fastmcp-4.txt", "fastmcp"), MODERN, "fastmcp-4.txt", more=True),
        *both(BRIDGE, _of_npm(BRIDGE)),
        *both(INSPECTOR, _of_npm(INSPECTOR)),
    ]


ALL = _all()
EVERY = os.environ.get("FOREIGN_CLIENTS") == "all"
TRIED = [one for one in ALL if EVERY or not one.more]
