"""An outside publisher's volume, on a real server: nobody is cut off, and others get through."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts import subjects
from services.bus.bus import Bus
from services.gateway.access.identity import ensure_local_token
from services.gateway.intake import ROOM, ROOM_BYTES
from services.gateway.listener import announce_file
from services.gateway.service import OUTSIDE
from services.log.inbox import NatsInbox
from services.log.jetstream import NatsLog
from services.log.port import Delivery
from tests.support.nats import NatsServer
from tests.support.system import until

MB = 1_000_000
ROOT = Path(__file__).parents[2]


async def send(bus: Bus, sizes: list[int], subject: str = "task.created", reply: str = "") -> None:
    """Publish messages of these sizes as fast as they go."""
    for n, size in enumerate(sizes):
        body = json.dumps({"id": f"t{n}", "type": "t.x", "input": {"x": "y" * size}})
        await bus.publish(subject, body.encode(), reply=reply)
    await bus.flush()


@contextlib.asynccontextmanager
async def inbox(server: NatsServer, most: int | None = ROOM_BYTES) -> AsyncIterator[NatsInbox]:
    async with server.connected("gateway") as bus, await NatsLog.open(bus) as log:
        one = log.inbox(subjects.INTAKE_STREAM, subjects.INTAKE_DURABLE, most)
        one.want(ROOM)
        yield one
        await one.close()


async def all_there_is(inbox: NatsInbox) -> list[Delivery]:
    """Take messages until nothing has come for longer than a pull lasts."""
    got: list[Delivery] = []
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(2.5):
                got += await inbox.receive()
            for delivery in got:
                await delivery.hold()
    return got


async def test_no_more_bytes_are_taken_than_are_given_back(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("publisher") as outside, inbox(fresh_nats) as one:
        await send(outside, [MB] * 20 + [10] * 5)
        first = await all_there_is(one)
        held = sum(delivery.size for delivery in first)
        assert ROOM_BYTES - 2 * MB < held <= ROOM_BYTES
        seen = list(first)
        while first:
            for delivery in first:
                await delivery.ack()
            one.want(len(first), sum(delivery.size for delivery in first))
            if len(seen) == 25:
                break
            async with asyncio.timeout(20):
                first = list(await one.receive())
            seen += first
        assert [delivery.seq for delivery in seen] == list(range(1, 26))
        assert not any(delivery.redelivered for delivery in seen)


async def test_the_largest_message_fits(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("publisher") as outside, inbox(fresh_nats, 1_200_000) as one:
        await outside.publish("task.created", b"x" * (1088 * 1024 - 100), headers={"A": "b" * 60})
        await outside.publish("task.created", b"small")
        sizes: list[int] = []
        async with asyncio.timeout(20):
            while len(sizes) < 2:
                for delivery in await one.receive():
                    sizes.append(len(delivery.data))
                    await delivery.ack()
        assert sizes == [1088 * 1024 - 100, 5]


async def _until(lines: AsyncIterator[str], word: str) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if word in line:
            return


class Gateway:
    """A gateway as a process, which can be stopped for a while."""

    def __init__(self, process: asyncio.subprocess.Process, http: httpx.AsyncClient) -> None:
        self.process = process
        self.http = http

    @contextlib.contextmanager
    def stopped(self) -> Any:
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
        yield
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture
async def gateway(fresh_nats: NatsServer) -> AsyncIterator[Gateway]:
    environ = os.environ | {
        "METAMCP_NATS_URL": fresh_nats.url,
        "METAMCP_DATA": str(fresh_nats.data),
        "METAMCP_GATEWAY_PORT": "0",
        "METAMCP_ENABLE_METRICS": "false",
        "PYTHONPATH": str(ROOT),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", env=environ, cwd=fresh_nats.data
    )
    announced, token = announce_file(fresh_nats.data), ensure_local_token(fresh_nats.data)

    async def there() -> bool:
        return announced.exists()

    try:
        await until(there)
        async with httpx.AsyncClient(
            base_url=msgspec.json.decode(announced.read_bytes())["url"],
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
        ) as http:
            yield Gateway(process, http)
    finally:
        process.kill()
        await process.wait()


async def slow_consumers(server: NatsServer) -> int:
    async with server.connected("sys") as bus:
        answer = msgspec.json.decode(await bus.request("$SYS.REQ.SERVER.PING.STATSZ", b"{}"))
    return int(answer["statsz"].get("slow_consumers", 0))


async def test_a_flood_of_big_tasks_does_not_cut_the_gateway_off(
    fresh_nats: NatsServer, gateway: Gateway
) -> None:
    async with fresh_nats.connected("publisher") as outside:
        with gateway.stopped():
            await send(outside, [MB] * 120)
        began = time.monotonic()
        answer = await gateway.http.post("/api/tasks", json={"type": "t.x", "input": {}})
        assert answer.status_code == 201
        assert time.monotonic() - began < 10
        last = {"id": "last", "type": "t.x", "input": {}}
        assert "seq" in json.loads(
            await outside.request("metamcp.tasks.submit", json.dumps(last).encode(), timeout=10)
        )
    assert await slow_consumers(fresh_nats) == 0


async def test_a_flood_of_requests_cuts_off_nothing_but_requests(
    fresh_nats: NatsServer, gateway: Gateway
) -> None:
    async with (
        fresh_nats.connected("publisher") as outside,
        gateway.http.stream("GET", "/api/events") as events,
    ):
        lines = events.aiter_lines()
        assert (await anext(lines)).startswith("retry:")
        with gateway.stopped():
            await send(outside, [MB] * 120, "metamcp.tasks.submit", "nobody")
        assert await slow_consumers(fresh_nats) == 1
        answer = await gateway.http.post("/api/tasks", json={"type": "t.x", "input": {}})
        assert answer.status_code == 201
        task = answer.json()["data"]["id"]
        async with asyncio.timeout(20):
            assert any([task in line async for line in _until(lines, task)])
    said = [path.read_text() for path in fresh_nats.data.rglob("*.log")]
    cut = [line for text in said for line in text.splitlines() if "Slow Consumer" in line]
    assert cut
    assert all(f'gateway-1{OUTSIDE}"' in line for line in cut)
