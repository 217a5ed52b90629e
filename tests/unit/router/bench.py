"""Routers on one memory log, with a lease and a clock that the test holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from contracts.facts import Fact, McpHealth, McpRegistered
from contracts.host import HealthStatus, Host
from contracts.task import TaskSpec
from contracts.wire import Beat
from services.log.memory import MemoryLog
from services.log.port import START
from services.log.projection import Projection
from services.process.ids import new_id
from services.process.troubles import ProcessTroubles
from services.router.actor import Router, Writer
from services.router.projection import SCHEMA, VERSION
from services.router.restored import OpenAgain
from services.router.settings import Settings
from services.store.blobs import Lease, LeaseLost
from tests.support.facts import created

F = TypeVar("F", bound=Fact)
TABLES = ("tasks", "hosts", "history", "preferences", "answers", "meta")
SETTINGS = Settings(lease_ttl_s=1)


class MemoryLeases:
    """Leases without a clock: they last until they are released or taken away."""

    def __init__(self) -> None:
        self.held: dict[str, Lease] = {}
        self.count = 0

    async def acquire(self, name: str, holder: str, ttl: int) -> Lease | None:
        held = self.held.get(name)
        if held is not None and held.holder != holder:
            return None
        return self._write(Lease(name, holder, ttl, 0))

    async def renew(self, lease: Lease) -> Lease:
        if lease.name not in self.held or self.held[lease.name].holder != lease.holder:
            raise LeaseLost(f"the lease {lease.name} of {lease.holder} is over")
        return self._write(lease)

    async def release(self, lease: Lease) -> None:
        if self.held.get(lease.name) == lease:
            del self.held[lease.name]

    def _write(self, lease: Lease) -> Lease:
        self.count += 1
        self.held[lease.name] = msgspec.structs.replace(lease, revision=self.count)
        return self.held[lease.name]


class Time:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """Routers on one memory log."""

    def __init__(
        self, folder: Path, log: MemoryLog | None = None, settings: Settings = SETTINGS
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.log = log or MemoryLog()
        self.leases = MemoryLeases()
        self.time = Time()
        self.troubles = ProcessTroubles()

    def standing(self, name: str = "router-1") -> OpenAgain:
        """What a router of this name has kept of a log that was put back."""
        return OpenAgain(self.folder / "restored" / f"{name}.json", self.troubles)

    @contextlib.asynccontextmanager
    async def router(self, name: str = "router-1", run: str = "") -> AsyncIterator[Router]:
        """A running router; at the end it is drained as its service does."""
        projection = await Projection.open(self.folder / f"{name}.sqlite", SCHEMA, VERSION)
        who = Writer(name, run or new_id())
        standing = self.standing(name)
        known = (self.log, projection, self.leases, self.settings, who, standing, self.time)
        router = Router(*known)
        router.listen()
        router.hear(msgspec.json.encode(Beat("executor-0", "i0")))
        running = asyncio.create_task(router.run())
        try:
            yield router
        finally:
            await router.stop()
            running.cancel()
            await asyncio.wait([running])
            await projection.close()

    async def register(self, *hosts: Host) -> None:
        for spec in hosts:
            known = {"id": new_id(), "by": "test", "host": spec.id, "k": 1}
            await self.log.append(McpRegistered(**known, spec=spec))
            known["id"] = new_id()
            await self.log.append(McpHealth(**known, status=HealthStatus.HEALTHY))

    async def submit(self, task: str, **fields: Any) -> None:
        spec = TaskSpec(**{"type": "work"} | fields)
        await self.log.append(created("alice", task, spec=spec))

    async def fact(self, kind: type[F], **wanted: Any) -> F:
        """Wait until such a fact is in the log."""
        async with asyncio.timeout(30):
            async for batch in self.log.follow((">",), START):
                for record in batch.records:
                    fact = record.fact
                    if isinstance(fact, kind) and all(
                        getattr(fact, name) == value for name, value in wanted.items()
                    ):
                        return fact
        raise AssertionError

    async def dump(self, name: str = "router-1") -> dict[str, list[tuple]]:
        """The rows of a router that has ended."""
        projection = await Projection.open(self.folder / f"{name}.sqlite", SCHEMA, VERSION)
        found = {t: await projection.query(f"SELECT * FROM router_{t}") for t in TABLES}
        await projection.close()
        return found
