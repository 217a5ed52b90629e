"""The suite's scenarios for servers, tasks included, at `/mcp` with a host of ours behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance import suite
from tests.conformance.proxy import BearingProxy
from tests.support.system import system, until

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(400)]
HOST = """
[hosts.{name}]
name = "{name}"
endpoint.kind = "http"
endpoint.url = "{url}"
sessions = "shared"
limits = {{ max_concurrency = 16 }}
"""
RUNS = {
    "2025-11-25": ("older", "all", "--spec-version", "2025-11-25"),
    "2026-07-28": ("newer", "all", "--spec-version", "2026-07-28"),
    "extensions": ("newer", "pending"),
}
"""By name: the host behind `/mcp`, which of the suite's suites (`pending` has the extensions)."""


@contextlib.asynccontextmanager
async def started(folder: Path) -> AsyncIterator[str]:
    """The orchestrator with the host of both eras, and of the older one alone; where to ask."""
    extra, proxy = folder / "suite.toml", BearingProxy()
    limits = {"METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0", "METAMCP_GATEWAY_MCP_AT_ONCE_S": "1"}
    async with suite.fixture() as urls, proxy.running() as address:
        named = zip(("newer", "older"), urls, strict=True)
        extra.write_text("\n".join(HOST.format(name=name, url=url) for name, url in named))
        limits["METAMCP_GATEWAY_ALLOWED_ORIGINS"] = address
        async with system(folder, {"one": 1}, extra=extra, real=False, **limits) as one:

            async def healthy() -> bool:
                hosts = (await one.get("/api/mcps")).json()["data"]
                return [host["health"]["status"] for host in hosts] == ["healthy"] * 3

            await until(healthy)
            proxy.gateway, proxy.token = one.url, one.running.token
            yield address


async def test_the_suite_finds_nothing_at_the_door_but_what_is_left_out(tmp_path: Path) -> None:
    node = await suite.node()
    failed: dict[str, set[str]] = {}
    wrong: list[str] = []

    async def tried(address: str, name: str) -> None:
        host, which, *more = RUNS[name]
        words = ("--url", f"{address}/{host}", "--suite", which, *more)
        told, failed[name] = await suite.ran(node, tmp_path, "server", name, *words)
        if told:
            wrong.append(told)

    async with started(tmp_path) as address, asyncio.TaskGroup() as group:
        for name in RUNS:
            group.create_task(tried(address, name))
    assert not wrong, "\n\n".join(wrong)
    assert not suite.never_failed("server", failed)
