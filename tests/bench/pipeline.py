"""The whole way of a task: submitted on a websocket, routed, signed, run on a no-op host, done."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import websockets

from services.up import up
from tests.bench.measure import count_fsyncs, cpu_by_name, median, percentile, signature_us

NOOP = """
[hosts.noop]
name = "No-op"
endpoint.kind = "noop"
limits = { max_concurrency = 1024 }

[hosts.noop.task_types.noop]
summary = "Nothing"
steps = [{ tool = "noop" }]
"""
VARIABLES = {
    "METAMCP_REGISTRY_BUILTINS": "false",
    "METAMCP_REGISTRY_ALLOW_NOOP": "true",
    "METAMCP_EXECUTOR_ALLOW_NOOP": "true",
    "METAMCP_EXECUTOR_SLOTS": "512",
    "METAMCP_ROUTER_MAX_CONCURRENT_JOBS": "2048",
    "METAMCP_ROUTER_MAX_PER_USER": "2048",
    "METAMCP_LOG_LEVEL": "warning",
}
FRAME = b'{"op":"submit","ref":%d,"task":{"id":"%s",%s}}'
NOOP_TASK = b'"type":"noop","input":{"n":1}'
NOTHING_S = 30.0


class Driver:
    """One client: submits tasks and notes when each is done."""

    def __init__(self, socket: Any, label: str, task: bytes) -> None:
        """`task`: the fields of every task but its id, as JSON."""
        self._socket = socket
        self._label = label
        self._task = task
        self._sent: dict[str, float] = {}
        self._count = 0
        self._news = asyncio.Event()
        self.latencies_ms: list[float] = []
        self.errors: list[str] = []

    async def submit(self) -> None:
        """Send one task."""
        self._count += 1
        task = f"{self._label}-{self._count}"
        self._sent[task] = time.perf_counter()
        await self._socket.send(FRAME % (self._count, task.encode(), self._task), text=True)

    async def run(self, tasks: int, in_flight: int) -> float:
        """Keep `in_flight` tasks going until `tasks` are done; answers the seconds it took."""
        started, first = time.perf_counter(), len(self.latencies_ms)
        to_send = tasks
        while len(self.latencies_ms) - first < tasks:
            while to_send and len(self._sent) < in_flight:
                await self.submit()
                to_send -= 1
            self._news.clear()
            async with asyncio.timeout(NOTHING_S):
                await self._news.wait()
            if self.errors:
                raise RuntimeError(self.errors[0])
        return time.perf_counter() - started

    async def listen(self) -> None:
        """Read frames until cancelled."""
        async for frame in self._socket:
            found = msgspec.json.decode(frame)
            if found["op"] == "events":
                now = time.perf_counter()
                for entry in found["events"]:
                    begun = self._sent.pop(entry["event"]["task"], None)
                    if begun is not None:
                        self.latencies_ms.append((now - begun) * 1000)
                self._news.set()
            elif found["op"] == "error":
                self.errors.append(found["message"])
                self._news.set()


@contextlib.asynccontextmanager
async def driver(running: up.Running, label: str, task: bytes = NOOP_TASK) -> AsyncIterator[Driver]:
    """A driver connected to the gateway and following its own tasks' ends."""
    socket = await websockets.connect(
        running.url.replace("http", "ws", 1) + "/api/stream",
        subprotocols=[websockets.Subprotocol("metamcp.v1")],
        additional_headers={"Authorization": f"Bearer {running.token}"},
        max_size=None,
        compression=None,
    )
    await socket.send(
        '{"op":"subscribe","ref":0,"sub":"d","to":"tasks","types":["job.done"]}', text=True
    )
    one = Driver(socket, label, task)
    listening = asyncio.create_task(one.listen())
    try:
        yield one
    finally:
        listening.cancel()
        await socket.close()


@contextlib.asynccontextmanager
async def orchestrator(
    folder: Path, *, executors: int = 1, in_process: bool = False
) -> AsyncIterator[up.Running]:
    """Everything running, with the no-op host and no other."""
    manifest = folder / "noop.toml"
    manifest.write_text(NOOP)
    plan = up.Plan(
        data=folder / "data",
        manifests=(manifest,),
        port=0,
        variables=VARIABLES,
        settings=up.Settings(executors=executors, in_process=in_process),
    )
    async with up.start(plan) as running:
        yield running


async def measure(folder: Path, tasks: int, *, executors: int, in_process: bool) -> dict[str, Any]:
    """Latency without load, throughput under load, CPU and fsyncs per task."""
    async with (
        orchestrator(folder, executors=executors, in_process=in_process) as running,
        driver(running, "b") as one,
    ):
        await one.run(100, 1)
        one.latencies_ms.clear()
        await one.run(500, 1)
        alone = list(one.latencies_ms)
        await one.run(tasks // 4, 512)
        rates, cpu, units = [], [], [signature_us()]
        for _ in range(3):
            before = cpu_by_name(running.pids)
            seconds = await one.run(tasks, 512)
            after = cpu_by_name(running.pids)
            rates.append(tasks / seconds)
            cpu.append({name: (after[name] - before[name]) / tasks for name in after})
            units.append(signature_us())
        one.latencies_ms.clear()
        async with count_fsyncs(running.pids["nats"], folder) as fsyncs:
            await one.run(tasks // 4, 512)
    per_task = {name: median([run[name] for run in cpu]) for name in cpu[0]}
    unit = median(units)
    return {
        "signature_us": unit,
        "signatures_per_task": (sum(per_task.values()) - unit) / unit,
        "tasks_per_s": median(rates),
        "runs": [round(rate) for rate in rates],
        "p50_ms": percentile(alone, 0.5),
        "p99_ms": percentile(alone, 0.99),
        "cpu_us_per_task": per_task,
        "fsyncs_per_task": None if fsyncs.calls is None else fsyncs.calls / (tasks // 4),
    }
