"""Real hosts: what a task costs beyond a direct call of the same server.

An MCP server over stdio, called through the SDK, and the Space kit over HTTP, called by POST.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from services.keys import permits
from services.up import up
from tests.bench.measure import median, percentile
from tests.bench.pipeline import VARIABLES, Driver, driver
from tests.support import space

ROOT = Path(__file__).resolve().parents[2]
SERVER = (sys.executable, "-m", "tests.support.recording_mcp")
AT_ONCE = 32
MANIFEST = """
[hosts.stdio]
endpoint.kind = "stdio"
endpoint.command = "{python}"
endpoint.args = ["-m", "tests.support.recording_mcp"]
endpoint.cwd = "{root}"
sessions = "shared"
limits = {{ max_concurrency = 64, start_s = 60.0 }}
task_types.stdio_echo.steps = [{{ tool = "echo", arguments = {{ text = "$input.text" }} }}]

[hosts.{heavy}]
endpoint = {{ kind = "execute", url = "{url}" }}
placement = "user_space"
owner = "local"
replay = "always"
limits = {{ max_concurrency = 64, start_s = 60.0 }}
task_types.echo.summary = "Say it again"
"""
TASKS = {
    "stdio": b'"type":"stdio_echo","input":{"text":"hi"}',
    "execute": b'"type":"echo","input":{"text":"hi"},"is_heavy":true',
}

Call = Callable[[], Awaitable[Any]]


async def measure(folder: Path, calls: int) -> dict[str, Any]:
    """Latency one at a time and rate under load, of direct calls and of whole tasks."""
    data, bench = folder / "data", space.Issuer("RS256", kid="bench")
    key = permits.load_or_create(permits.key_path(data))
    (folder / "space").mkdir()
    async with AsyncExitStack() as stack:
        trusted = {"keys": [key.jwk, bench.jwk]}
        heavy = await stack.enter_async_context(
            space.start(folder / "space", trusted, METAMCP_MAX_CONCURRENCY="64")
        )
        manifest = folder / "hosts.toml"
        manifest.write_text(
            MANIFEST.format(python=sys.executable, root=ROOT, heavy=space.HOST, url=heavy.url)
        )
        plan = up.Plan(data=data, manifests=(manifest,), port=0, variables=VARIABLES)
        running = await stack.enter_async_context(up.start(plan))
        client = await stack.enter_async_context(Client(_server()))
        caller = space.Caller(heavy.url, bench)
        stack.push_async_callback(caller.http.aclose)
        numbers = itertools.count()

        async def stdio() -> None:
            await client.session.call_tool("echo", {"text": "hi"})

        async def execute() -> None:
            answer = await caller.execute(f"direct-{next(numbers)}", "echo", {"text": "hi"})
            answer.raise_for_status()

        direct: dict[str, Call] = {"stdio": stdio, "execute": execute}
        return {name: await _compare(running, name, call, calls) for name, call in direct.items()}


def _server() -> StdioServerParameters:
    return StdioServerParameters(command=SERVER[0], args=list(SERVER[1:]), cwd=ROOT)


async def _compare(running: up.Running, name: str, call: Call, calls: int) -> dict[str, Any]:
    await _one_by_one(call, 20)
    direct = await _one_by_one(call, calls)
    direct_rate = median([await _rate(call, calls) for _ in range(3)])
    async with driver(running, name, TASKS[name]) as one:
        await one.run(20, 1)
        one.latencies_ms.clear()
        await one.run(calls, 1)
        whole = list(one.latencies_ms)
        rate = median([await _tasks(one, calls) for _ in range(3)])
    return {
        "direct_p50_ms": percentile(direct, 0.5),
        "direct_p99_ms": percentile(direct, 0.99),
        "p50_ms": percentile(whole, 0.5),
        "p99_ms": percentile(whole, 0.99),
        "direct_per_s": direct_rate,
        "tasks_per_s": rate,
        "at_once": AT_ONCE,
    }


async def _one_by_one(call: Call, count: int) -> list[float]:
    found = []
    for _ in range(count):
        started = time.perf_counter()
        await call()
        found.append((time.perf_counter() - started) * 1000)
    return found


async def _rate(call: Call, count: int) -> float:
    """Calls a second with `AT_ONCE` under way."""
    left = iter(range(count))

    async def some() -> None:
        for _ in left:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - started)


async def _tasks(one: Driver, count: int) -> float:
    return count / await one.run(count, AT_ONCE)
