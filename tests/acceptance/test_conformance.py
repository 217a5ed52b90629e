"""Scenarios of the MCP conformance suite for what `/mcp` has, with a host of ours behind it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.foreign import install
from tests.support.foreign.conformance_proxy import Proxy
from tests.support.system import system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]
SUITE = """
[hosts.suite]
name = "Conformance"
endpoint.kind = "stdio"
endpoint.command = "{python}"
endpoint.args = ["-m", "tests.support.foreign.conformance_mcp"]
endpoint.cwd = "{root}"
"""
BASELINE = install.HERE / "conformance.yaml"
"""What fails yet. An entry that does not fail any more is an error."""
SCENARIOS = (
    "server-stateless",
    "http-header-validation",
    "http-custom-header-server-validation",
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-required-task-error",
)


async def test_the_conformance_suite_finds_what_is_known(tmp_path: Path) -> None:
    try:
        node = await asyncio.to_thread(install.node)
    except install.NotToBeHad as error:
        pytest.skip(str(error))
    extra = tmp_path / "suite.toml"
    extra.write_text(SUITE.format(python=sys.executable, root=ROOT))
    limits = {"METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0"}
    async with system(tmp_path, {"one": 1}, extra=extra, **limits) as one:

        async def healthy() -> bool:
            hosts = (await one.get("/api/mcps")).json()["data"]
            return [host["health"]["status"] for host in hosts] == ["healthy"] * 2

        await until(healthy)
        told: dict[str, str] = {}
        async with Proxy(f"{one.url}/mcp", one.running.token, "suite__").running() as url:
            for scenario in SCENARIOS:
                code, said = await run(node, tmp_path, url, scenario)
                if code:
                    told[scenario] = said
    assert not told, "\n".join(told.values())


async def run(node: install.Node, folder: Path, url: str, scenario: str) -> tuple[int, str]:
    """Run a scenario; how it ends, and what it says."""
    suite = await asyncio.create_subprocess_exec(
        *(*node.program("conformance"), "server", "--url", url, "--scenario", scenario),
        *("--expected-failures", str(BASELINE), "-o", str(folder)),
        env={"PATH": node.path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(90):
            out, _ = await suite.communicate()
    finally:
        if suite.returncode is None:
            suite.kill()
    assert suite.returncode is not None
    return suite.returncode, out.decode()
