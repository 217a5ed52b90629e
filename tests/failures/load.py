"""Load beside a failure: tasks over HTTP and NATS, and a client that follows what becomes of them.

Both behave as good clients do: what got no answer, or "not now", is sent again under its id; a
stream that was cut goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx

from services.bus.bus import Bus
from services.bus.errors import BusError
from tests.failures.stage import Stage
from tests.support.steady import blocks
from tests.support.system import until

RATE = 12.0
"""Tasks a second."""
BY_NATS = 0.25
"""Share of them that a service publishes."""
AGAIN_S = 0.25
NOT_NOW = (429, 503)
SETTLE_S = 60.0


class Load:
    """What was sent, and what its clients were told."""

    def __init__(self, one: Stage, seed: int, label: str) -> None:
        self.accepted: list[str] = []
        self.refused: Counter[str] = Counter()
        """By reason, those that were turned away for good."""
        self.told: dict[str, list[str]] = {}
        """Outcomes by task, as the stream of the local user said them."""
        self.published: set[str] = set()
        """Tasks of the service: the stream of the local user does not tell them."""
        self.resets = 0
        self._one = one
        self._dice = random.Random(seed)
        self._label = label
        self._never = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Tasks that nobody has taken or refused yet."""
        return len(self._sending)

    async def run(self) -> None:
        """Send tasks until cancelled."""
        for number in range(1_000_000):
            task = f"{self._label}-{number}"
            body = {"type": "work", "id": task, "input": {"ms": self._dice.choice([1, 20, 400])}}
            by_nats = self._dice.random() < BY_NATS
            sending = asyncio.create_task(self._publish(body) if by_nats else self.send(body))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
            await self._pause(self._dice.expovariate(RATE))

    async def send(self, body: dict[str, Any]) -> None:
        """Send a task until somebody has said yes or no."""
        while True:
            with contextlib.suppress(httpx.TransportError, OSError):
                answer = await self._one.http.post(f"{self._one.url}/api/tasks", json=body)
                if answer.is_success:
                    return self.accepted.append(body["id"])
                if answer.status_code not in NOT_NOW:
                    self.refused[answer.json()["error"]["reason"]] += 1
                    return None
            await self._pause(AGAIN_S)

    async def _publish(self, body: dict[str, Any]) -> None:
        self.published.add(body["id"])
        while True:
            bus: Bus | None = None
            with contextlib.suppress(BusError, OSError):
                bus = await self._one.publisher()
                answer = json.loads(await bus.request("task.created", json.dumps(body).encode()))
                if "error" not in answer:
                    self.accepted.append(body["id"])
                    await bus.close()
                    return
            if bus is not None:
                await bus.close()
            await self._pause(AGAIN_S)

    async def follow(self) -> None:
        """Read the local user's stream until cancelled, resuming where it was cut."""
        last = {}
        while True:
            with contextlib.suppress(httpx.TransportError, OSError):
                address = f"{self._one.url}/api/events?after=start"
                async with self._one.http.stream("GET", address, headers=last) as answer:
                    async for event in blocks(answer) if answer.is_success else _nothing():
                        if event.get("event") == "reset":
                            self.resets += 1
                            self.told.clear()
                            last = {}
                            break
                        if "id" in event:
                            last = {"Last-Event-ID": event["id"]}
                        if event.get("event") == "job.done":
                            fact = json.loads(event["data"])["event"]
                            self.told.setdefault(fact["task"], []).append(fact["outcome"])
            await self._pause(AGAIN_S)

    async def heard(self) -> bool:
        """Whether the stream has told the end of every task that was accepted over HTTP."""
        return all(task in self.told for task in self.accepted if task not in self.published)

    async def settled(self) -> None:
        """Wait until every task was taken or refused."""
        sending = set(self._sending)
        if sending:
            _, left = await asyncio.wait(sending, timeout=SETTLE_S)
            assert not left, f"{len(left)} tasks got no answer within {SETTLE_S:g} s"

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._never.wait(), seconds)


async def _nothing() -> AsyncIterator[dict[str, str]]:
    return
    yield


@contextlib.asynccontextmanager
async def load(one: Stage, seed: int, label: str) -> AsyncIterator[Load]:
    """Send and follow in the block; afterwards every task has its answer."""
    work = Load(one, seed, label)
    sending = asyncio.create_task(work.run())
    following = asyncio.create_task(work.follow())
    try:
        await until(lambda: _true(len(work.told) >= 5))
        yield work
        sending.cancel()
        await work.settled()
        await until(work.heard, seconds=SETTLE_S)
    finally:
        for task in (sending, following, *work._sending):
            task.cancel()


async def _true(value: bool) -> bool:
    return value
