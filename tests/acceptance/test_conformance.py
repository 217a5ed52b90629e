"""Scenarios of the MCP conformance suite for what `/mcp` has, with a host of ours behind it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.foreign import install
from tests.support.foreign.conformance_proxy import Proxy
from tests.support.foreign.program import run
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
                command = (*node.program("conformance"), "server", "--url", url)
                which = ("--scenario", scenario, "--expected-failures", str(BASELINE))
                ended = await run(*command, *which, "-o", str(tmp_path), PATH=node.path)
                if ended.status:
                    told[scenario] = ended.out + ended.err
    assert not told, "\n".join(told.values())
