"""Hosts with prompts and resources behind a gateway, and the executor that asks them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from contracts import subjects
from contracts.facts import McpHealth, McpRegistered
from contracts.host import HealthStatus, Host, Stdio
from contracts.reads import ReadRequest
from services.executor.attempt.call import Call, Opening
from services.executor.attempt.plan import KnownHost, prepare
from services.executor.attempt.workspace import Workspace
from services.executor.hosts.pool import Pool
from services.executor.hosts.reading import ReadDesk
from services.keys.secrets import Secrets
from services.process.ids import new_id
from tests.support import forked
from tests.support.nats import NatsServer
from tests.unit.executor.world import routed, spec
from tests.unit.gateway.world import World

ROOT = Path(__file__).parents[4]
ALL = ("prompts", "resources", "completions", "subscriptions")


async def nothing(progress: float, total: float | None, message: str) -> None:
    pass


async def ours() -> bool:
    return True


class Known:
    """The hosts that the executor knows."""

    def __init__(self) -> None:
        self.hosts: dict[str, KnownHost] = {}

    async def reached(self, seq: int, timeout_s: float) -> bool:
        return True

    def get(self, host: str) -> KnownHost | None:
        return self.hosts.get(host)


class Readers:
    """A gateway whose hosts can be asked."""

    def __init__(self, gateway: World, pool: Pool, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self.pool = pool
        self.known = Known()
        self.desk = ReadDesk(pool, self.known)
        self.asked: list[str] = []
        """Method and host of each question …"""
        self.answered: list[str] = []
        """… and of each that got an answer."""

    async def read(self, payload: bytes) -> bytes:
        request = msgspec.json.decode(payload, type=ReadRequest)
        question = f"{request.method} {request.host}"
        self.asked.append(question)
        answer = await self.desk.read(payload)
        self.answered.append(question)
        return answer

    async def use(self, host: str, tool: str, **given: Any) -> None:
        """Have Alice call a tool of a host, in her session."""
        data = {"tool": tool, "arguments": given}
        wanted, known = spec(input=data), self.known.hosts[host]
        plan = prepare(known, routed("t1", wanted), wanted, bytes(wanted.input), "permit")
        space = Workspace(self.folder, "alice", "t1", 1)
        await self.pool.call(known, Call(plan, space, nothing, ours))

    async def add(self, id_: str, *how: str, **fields: Any) -> Host:
        """Register a host that is healthy."""
        start = forked.command("tests.support.reading_mcp", id_, *how)
        endpoint = Stdio(start[0], start[1:], cwd=str(ROOT))
        known: dict[str, Any] = {"name": id_, "endpoint": endpoint, "features": ALL}
        host = Host(id=id_, **known | fields)
        health = McpHealth(id=new_id(), by="registry-1", host=id_, k=1, status=HealthStatus.HEALTHY)
        registered = McpRegistered(id=new_id(), by="registry-1", host=id_, k=1, spec=host)
        seq, _ = await self.gateway.append(registered, health)
        self.known.hosts[id_] = KnownHost(seq, host)
        await self.gateway.settled()
        return host


@contextlib.asynccontextmanager
async def readers(gateway: World, nats: NatsServer, folder: Path) -> AsyncIterator[Readers]:
    """Serve `cmd.executor.read` with sessions of real hosts."""
    host = Host(id="-", name="-", endpoint=Stdio(sys.executable))
    spool = folder / "spool"
    spool.mkdir()
    pool = Pool(Opening(host, folder / "hosts", spool=spool), 8, Secrets(folder, {}))
    found = Readers(gateway, pool, folder)
    heard = gateway.site.door.on_reads_changed
    changed = subjects.reads_changed("*/*")
    await gateway.bus.subscribe(changed, lambda message: heard(message.data))
    async with nats.connected("executor") as bus:
        await bus.serve("executor", "1.0.0", {"read": found.read})
        telling = asyncio.create_task(pool.news.run(bus.publish))
        try:
            yield found
        finally:
            telling.cancel()
            await pool.close()
