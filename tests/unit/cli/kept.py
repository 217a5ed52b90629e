"""A real gateway and results service over one log; reads of results can be cut short."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.result import (
    DatasetTask,
    DatasetTasks,
    DatasetTasksRequest,
    Pointer,
    ResultRead,
)
from services.cli.app import execute
from services.cli.commands import download
from services.results.settings import Settings
from services.store.blobs import Blobs
from tests.support import facts
from tests.support.nats import NatsServer
from tests.unit.gateway.world import World, world
from tests.unit.results.test_actor import keeping

DATA = bytes(range(256)) * 8000
"""Several parts of what the results service answers at once."""
TASK = DatasetTask(
    *("t1", "alice", "work", "normal", True, "succeeded"),
    *("2026-01-31T12:00:00+00:00", "2026-01-31T12:00:09+00:00", "results/t1.json"),
    *("a" * 64, 20_000_000, "application/json", "ann-tools", 1),
)


class Site:
    """The parts of it; the client is alice."""

    def __init__(self, one: World) -> None:
        self.world = one
        self.keeper: Any = None
        self.reads: list[int] = []
        """Where parts that were asked for begin."""
        self.cut: set[int] = set()
        """The reads of this number, from 1, that are one byte short."""
        self.asked_tasks: list[DatasetTasksRequest] = []

    async def ask(self, subject: str, payload: bytes, within_s: float) -> bytes:
        """Pass a question on."""
        answer = await self.world.bus.request(subject, payload, timeout=within_s)
        if not subject.endswith(".read"):
            return answer
        self.reads.append(msgspec.json.decode(payload, type=ResultRead).offset)
        return answer[:-1] if len(self.reads) in self.cut else answer

    async def tasks(self, payload: bytes) -> bytes:
        """Answer `cmd.results.tasks`."""
        self.asked_tasks.append(msgspec.json.decode(payload, type=DatasetTasksRequest))
        return msgspec.json.encode(DatasetTasks("ann/metamcp-results", (TASK,)))

    async def finished(self, task: str, result: Any) -> None:
        """A task that left a result, known to all."""
        done = facts.done("alice", task, result=result, host="h1", attempt=1)
        await self.world.append(facts.created("alice", task), done)
        await self.world.settled()
        assert await self.keeper._projection.reached(await self.world.log.head(), 30)

    async def stored(self, data: bytes = DATA, media_type: str = "image/png") -> Pointer:
        return await Blobs(self.world.bus).put("alice", data, media_type)


@contextlib.asynccontextmanager
async def keeping_site(
    nats: NatsServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    """Run all of it; commands of this process find it."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(download, "FIRST_DELAY", 0.01)
    async with (
        nats.connected("gateway") as bus,
        nats.connected("results") as results_bus,
        world(folder, bus) as one,
    ):
        found = Site(one)
        one.site.parts.others.request = found.ask
        file, settings = folder / "results.sqlite", Settings(retention_days=30)
        async with keeping(one.log, Blobs(results_bus), file, settings) as keeper:  # type: ignore[arg-type]
            found.keeper = keeper
            handlers = keeper.commands() | {"tasks": found.tasks}
            await results_bus.serve("results", "1.0.0", handlers)
            monkeypatch.setenv("METAMCP_URL", one.url)
            monkeypatch.setenv("METAMCP_TOKEN", "alice-token")
            yield found


async def metamcp(*arguments: str) -> int:
    """Run a command beside the gateway; the answer is its exit code."""
    return await asyncio.to_thread(execute, arguments)


def content(name: str) -> bytes | None:
    """What a file of the current folder holds; None: it isn't there."""
    return Path(name).read_bytes() if Path(name).exists() else None


def put(name: str, data: bytes) -> None:
    """Write a file of the current folder."""
    Path(name).write_bytes(data)


def parts() -> list[str]:
    """What downloads have left behind."""
    return sorted(path.name for path in Path().glob("*.part*"))
