"""An executor on a log in memory, and the facts that make it work."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from contracts.facts import (
    AnyFact,
    McpRegistered,
    Record,
    TaskCancelled,
    TaskCreated,
    TaskRouted,
)
from contracts.host import Host, Limits, Noop, Tool
from contracts.route import Policy, Route
from contracts.task import TaskSpec, input_sha256
from services.executor import domain
from services.executor.actor import Executor
from services.executor.attempt.call import Answer, Call, HostError
from services.executor.attempt.output import BlobStore
from services.executor.attempt.plan import KnownHost
from services.executor.attempt.runner import Ports
from services.executor.hosts.pool import Pool
from services.executor.projection import Hosts
from services.executor.service import open_pool
from services.executor.settings import Settings
from services.keys import permits
from services.keys.permits import SigningKey
from services.log.memory import MemoryLog
from services.process.ids import new_id
from services.process.settings import Common

Script = Callable[[Call], Awaitable[Answer]]
POLICY = Policy(1, "test")


def host(id: str = "h1", **fields: Any) -> Host:
    known: dict[str, Any] = {
        "name": id,
        "endpoint": Noop(),
        "limits": Limits(max_concurrency=64),
        "tools": (Tool("noop"),),
    }
    return Host(id=id, **known | fields)


def spec(**fields: Any) -> TaskSpec:
    data = fields.pop("input", {"tool": "noop", "arguments": {}})
    return TaskSpec(type="mcp.call", input=msgspec.Raw(msgspec.json.encode(data)), **fields)


def routed(task: str, spec: TaskSpec, attempt: int = 1, **fields: Any) -> TaskRouted:
    route: dict[str, Any] = {
        "host": "h1",
        "host_seq": 1,
        "basis": 1,
        "now": time.time(),
        "term": 1,
        "policy": POLICY,
        "input_sha256": input_sha256(spec),
    }
    return TaskRouted(
        id=new_id(),
        by="router-1",
        user="alice",
        task=task,
        attempt=attempt,
        route=Route(**route | fields),
    )


class ScriptedPool(Pool):
    """A pool whose hosts do what the test says; which calls were made stands in `calls`."""

    def __init__(self, real: Pool, script: Script | None) -> None:
        self._real = real
        self._script = script
        self.calls: list[Call] = []
        self.called = asyncio.Event()

    async def call(self, known: KnownHost, call: Call) -> dict[str, Any]:
        self.calls.append(call)
        self.called.set()
        if self._script is None:
            return await self._real.call(known, call)
        return (await self._script(call)).wire()

    def renew(self, known: KnownHost) -> bool:
        return self._real.renew(known)

    def forget(self, host: str, *, off: bool = False) -> None:
        self._real.forget(host, off=off)

    async def close(self) -> None:
        await self._real.close()


class World:
    """The executor under test and all around it."""

    def __init__(self, log: MemoryLog, key: SigningKey, settings: Settings) -> None:
        self.log = log
        self.key = key
        self.settings = settings
        self.published: list[tuple[str, bytes]] = []
        self.beaten = asyncio.Event()
        self.hosts: Hosts
        self.pool: ScriptedPool
        self.executor: Executor

    async def publish(self, subject: str, data: bytes) -> None:
        self.published.append((subject, data))
        self.beaten.set()

    async def task(
        self, task: str = "t1", *, spec_: TaskSpec | None = None, **route: Any
    ) -> TaskRouted:
        """A task that is created and routed."""
        wanted = spec_ or spec()
        await self.log.append(
            TaskCreated(id=new_id(), by="gateway-1", user="alice", task=task, spec=wanted)
        )
        fact = routed(task, wanted, route.pop("attempt", 1), **route)
        await self.log.append(fact)
        return fact

    async def cancel(self, task: str = "t1") -> None:
        await self.log.append(
            TaskCancelled(id=new_id(), by="g", user="alice", task=task, reason="changed my mind")
        )

    async def register(self, host_: Host, k: int = 1) -> int:
        fact = McpRegistered(id=new_id(), by="registry-1", host=host_.id, k=k, spec=host_)
        return await self.log.append(fact)

    async def fact(self, type_: type[AnyFact], task: str = "t1") -> Record:
        """Wait for a fact of this kind about the task."""
        async with asyncio.timeout(30):
            seen = 0
            while True:
                grown = self.log._grown
                records = self.log._records
                for record in records[seen:]:
                    if isinstance(record.fact, type_) and record.fact.task == task:  # type: ignore[union-attr]
                        return record
                seen = len(records)
                await grown.wait()

    def facts(self, task: str = "t1") -> list[str]:
        """Kinds of the task's facts, in order."""
        return [
            record.subject.split(".")[1]
            for record in self.log._records
            if getattr(record.fact, "task", "") == task
        ]

    async def idle(self) -> None:
        """Wait until no attempt is left."""
        async with asyncio.timeout(30):
            while self.executor.busy:
                await moment(0.001)


async def moment(seconds: float = 0.01) -> None:
    """Pass a little time, between two looks at what happens in another process."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


@contextlib.asynccontextmanager
async def world(
    folder: Path,
    key: SigningKey,
    *,
    script: Script | None = None,
    hosts: tuple[Host, ...] = (),
    started: bool = True,
    log: MemoryLog | None = None,
    blobs: BlobStore | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """A running executor with one host `h1` at sequence 1."""
    own = Settings(**{"allow_noop": True, "drain_s": 0.2} | settings)
    one = World(log or MemoryLog(), key, own)
    for host_ in hosts or (host(),):
        await one.register(host_)
    one.hosts = await Hosts.open(folder / "executor.sqlite")
    one.pool = ScriptedPool(open_pool(Common(data=folder), one.settings, folder / "spool"), script)
    ports = Ports(one.log, one.pool, key, blobs, one.publish, folder / "workspaces")
    one.executor = Executor(ports, one.hosts, one.settings, domain.Me("executor-1", "run-1"))
    tasks = [asyncio.create_task(one.hosts.run(one.log))]
    if started:
        tasks.append(asyncio.create_task(one.executor.run()))
    try:
        yield one
    finally:
        await one.executor.drain()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await one.hosts.close()


def fresh_key(folder: Path) -> SigningKey:
    return permits.load_or_create(permits.key_path(folder))


def refusal(error: HostError) -> Script:
    async def refuse(_: Call) -> Answer:
        raise error

    return refuse
