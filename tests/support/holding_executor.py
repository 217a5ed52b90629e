"""An executor's pool and desk in a process of their own: for tests that stop or kill it.

Arguments: SERVER CREDENTIALS FOLDER HOST (as JSON). It beats ten times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from contracts import subjects
from contracts.host import Host
from services.bus.all import answer_all
from services.bus.bus import Bus
from services.bus.connect import read_credentials
from services.bus.names import inbox_prefix
from services.executor.attempt.call import Opening
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.desk import ProbeDesk
from services.executor.hosts.pool import Pool
from services.keys.secrets import Secrets


class Shown:
    """The hosts of a desk."""

    def __init__(self, *hosts: Host) -> None:
        self.known = {host.id: KnownHost(1, host) for host in hosts}

    def get(self, host: str) -> KnownHost | None:
        return self.known.get(host)

    async def reached(self, seq: int, timeout_s: float) -> bool:
        return True


@contextlib.asynccontextmanager
async def holding(bus: Bus, folder: Path, hosts: Shown, instance: str) -> AsyncIterator[Pool]:
    """A desk that answers, and beats."""
    (first, *_) = hosts.known.values()
    pool = Pool(Opening(first.host, folder / "hosts"), 10, Secrets(folder, {}))
    desk = ProbeDesk(pool, hosts, instance)
    await answer_all(bus, subjects.command("executor", "holder"), desk.holder)
    await answer_all(bus, subjects.look(instance), desk.look)
    tasks = [asyncio.create_task(work) for work in (_beat(bus, instance), _tell(bus, pool))]
    try:
        yield pool
    finally:
        await desk.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await pool.close()


async def _tell(bus: Bus, pool: Pool) -> None:
    await pool.changes.run(bus.publish)


async def _beat(bus: Bus, instance: str) -> None:
    wait = asyncio.Event()
    while True:
        await bus.publish(subjects.beat(instance), b"{}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wait.wait(), 0.1)


async def main(server: str, credentials: str, folder: Path, host: str) -> None:
    login = read_credentials(Path(credentials))
    prefix = inbox_prefix("executor")
    bus = await Bus.connect(server, name="held", credentials=login, inbox_prefix=prefix)
    shown = Shown(msgspec.json.decode(host, type=Host))
    async with holding(bus, folder, shown, "executor-2"):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
