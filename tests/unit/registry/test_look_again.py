"""Tools that a host has got since it was probed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from contracts.host import Host, Probe, Stdio
from services.log.memory import MemoryLog
from tests.support import growing_mcp
from tests.unit.executor.world import moment
from tests.unit.registry.running import running

ROOT = Path(__file__).parents[3]


async def test_a_host_is_listed_anew_when_an_executor_says_that_its_tools_are_others(
    tmp_path: Path,
) -> None:
    endpoint = Stdio(
        sys.executable, ("-m", "tests.support.growing_mcp", str(tmp_path)), cwd=str(ROOT)
    )
    probe = Probe("grow", {"name": "late", "quiet": True}, interval_s=3600)
    host = Host(id="h1", name="h1", endpoint=endpoint, probe=probe)
    async with running(MemoryLog(), tmp_path / "view.db", host) as registry, asyncio.timeout(20):
        await registry.watchers["h1"].now()
        assert names(registry.hosts["h1"].spec) == growing_mcp.OWN
        registry.look_again("tools.changed.-.nobody")
        registry.look_again("tools.changed.-.h1")
        while names(registry.hosts["h1"].spec)[-1] != "late":
            await moment(0.01)


def names(host: Host | None) -> tuple[str, ...]:
    assert host is not None
    return tuple(tool.name for tool in host.tools)
