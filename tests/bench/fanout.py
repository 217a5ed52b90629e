"""Fan-out: many websocket clients of one gateway that all follow the same user's tasks."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import websockets

from contracts.task import TaskSpec
from services.log.jetstream import NatsLog
from services.log.port import Append
from services.up import up
from tests.bench.measure import allow_many_files, cpu_us
from tests.support import facts

LATER = TaskSpec(type="noop", delay_s=86400)
"""A task that stays where it is while the facts about it are counted."""


async def clients(url: str, token: str, count: int, expected: int) -> None:
    """Run in a process of its own: open the sockets, count what arrives, print when all has."""
    allow_many_files()
    ready, got = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def one() -> None:
        socket = await websockets.connect(
            url.replace("http", "ws", 1) + "/api/stream",
            subprotocols=[websockets.Subprotocol("metamcp.v1")],
            additional_headers={"Authorization": f"Bearer {token}"},
            max_size=None,
            compression=None,
        )
        await socket.send('{"op":"subscribe","ref":1,"sub":"a","to":"tasks"}', text=True)
        seen = 0
        async for frame in socket:
            if '"op":"caught_up"' in frame:
                ready.release()
            else:
                seen += frame.count('"seq":')
            if seen >= expected:
                got.release()
                return

    running = []
    for _ in range(count):
        running.append(asyncio.create_task(one()))
        await ready.acquire()
    print("ready", flush=True)
    for _ in range(count):
        await got.acquire()
    print("done", flush=True)
    for task in running:
        task.cancel()


async def measure(running: up.Running, count: int, burst: int) -> dict[str, Any]:
    """Facts delivered a second to `count` clients, and what one costs the gateway."""
    arguments = (running.url, running.token, str(count), str(burst))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.fanout", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    await process.stdout.readline()
    bus = await up.connect(running.nats_url, "gateway", running.credentials, name="bench-fan")
    gateway = running.pids.get("gateway-1")
    async with await NatsLog.open(bus) as log:
        before = cpu_us(gateway) if gateway else 0.0
        started = time.perf_counter()
        await log.append_all([Append(facts.created("local", spec=LATER)) for _ in range(burst)])
        await process.stdout.readline()
        seconds = time.perf_counter() - started
        used = (cpu_us(gateway) if gateway else 0.0) - before
    await bus.close()
    await process.wait()
    return {
        "clients": count,
        "facts_per_s": count * burst / seconds,
        "gateway_us_per_fact": used / (count * burst),
    }


if __name__ == "__main__":
    asyncio.run(clients(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
