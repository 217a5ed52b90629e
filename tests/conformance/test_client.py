"""The suite's scenarios for clients, `auth/*` included: the executor calls its servers."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.conformance import suite
from tests.conformance.driver import ConformanceDriver
from tests.support.system import system

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(500)]
SETTINGS = {
    "METAMCP_ALLOW_PRIVATE_HOSTS": "true",
    "METAMCP_GATEWAY_RATE_LIMIT_REQUESTS": "0",
    # A server that is silent for so long on a busy machine is taken for one of the older era.
    "METAMCP_REGISTRY_PROBE_LIMIT_S": "25",
}
RUNS = {"every": ("all",), "2026-07-28": ("all", "--spec-version", "2026-07-28")}
"""By name: which of the suite's suites, and in which protocol version; the first is all that there
is, extensions included, what is older than 2026-07-28 in 2025-11-25."""


async def test_the_suite_finds_nothing_at_the_client_but_what_is_left_out(tmp_path: Path) -> None:
    node = await suite.node()
    failed: dict[str, set[str]] = {}
    wrong: list[str] = []

    async def tried(command: str, name: str) -> None:
        words = ("--command", command, "--suite", *RUNS[name])
        told, failed[name] = await suite.ran(node, tmp_path, "client", name, *words)
        if told:
            wrong.append(told)

    async with system(tmp_path, {"one": 1}, real=False, **SETTINGS) as one:
        driver = ConformanceDriver(one, tmp_path)
        async with suite.fixture() as (newer, _):
            await driver.warm(newer)
        async with (
            driver.listening(sys.executable) as command,
            asyncio.TaskGroup() as group,
        ):
            for name in RUNS:
                group.create_task(tried(command, name))
    assert not wrong, "\n\n".join(wrong)
    assert not suite.never_failed("client", failed)
