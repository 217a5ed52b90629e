"""A real nats-server whose disk is full for a moment, and one that has less room than before."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts import subjects
from contracts.task import TaskSpec
from services.bus.bus import Bus
from services.bus.room import room
from services.gateway.settings import Settings
from services.join import UNWRITABLE, join
from services.log.commit import SILENT
from services.log.jetstream import NatsLog
from services.process import ballast
from services.process.run import Process
from services.process.settings import Common
from services.store.stream import Stream, ensure_stream
from services.up import up
from services.up.children import Server
from services.up.disk_watch import DiskWatch
from services.up.nats_server import Embedded, NoRoom, find_server
from tests.support import facts
from tests.support.small_disk import SmallDisk, forbidden, small_disk
from tests.support.system import until

MB = 1_000_000
pytestmark = pytest.mark.timeout(60)


@contextlib.asynccontextmanager
async def on_a_small_disk(folder: Path) -> AsyncIterator[tuple[Embedded, SmallDisk]]:
    """A server of which the store alone is on the disk."""
    if why := forbidden():
        pytest.skip(f"no file system of its own: {why}")
    async with small_disk(folder / "data" / ballast.STORE, 40 * MB) as disk:
        script = folder / "nats-server"
        inside = " ".join(disk.command(str(find_server())))
        script.write_text(f'#!/bin/sh\nexec {inside} "$@"\n')
        script.chmod(0o755)
        server = Embedded(folder / "data", binary=script)
        async with server:
            await up.provision(server.url, server.data / "credentials")
            yield server, disk


async def connected(server: Embedded, role: str) -> Bus:
    return await up.connect(server.url, role, server.data / "credentials", name=role)


async def test_a_stream_stuck_by_a_full_disk_is_seen_and_goes_on(tmp_path: Path) -> None:
    async with on_a_small_disk(tmp_path) as (server, disk):
        process = Process("gateway", "gateway-1")
        common = Common(nats_url=server.url, data=server.data)
        bus, log = await join(process, common, Settings())
        leases = Stream(bus, f"KV_{subjects.LEASES_BUCKET}")
        child = Server(server)
        tasks = [asyncio.create_task(child.run())]
        try:
            await log.append(facts.created("before"))
            first = await leases.publish(subjects.WRITE_PROBE, b"")
            assert await leases.publish(subjects.WRITE_PROBE, b"") != first
            assert (log.refusing, process.troubles.all()) == ("", ())

            disk.fill()
            began = time.monotonic()
            writes = [asyncio.create_task(log.append(facts.created(f"u{n}"))) for n in (1, 2)]
            writes += [asyncio.create_task(write_much(log, n)) for n in range(3)]
            await until(lambda: troubled(process))
            print(f"told after {time.monotonic() - began:.1f} s")
            assert log.refusing == SILENT

            disk.empty()
            began, pid = time.monotonic(), server.pid
            tasks.append(asyncio.create_task(DiskWatch(child).run()))
            seqs = await asyncio.wait_for(asyncio.gather(*writes), 20)
            print(f"stored {time.monotonic() - began:.1f} s after there was room")
            assert server.pid != pid
            assert len(set(seqs)) == len(writes), "each once"
            assert await log.head() == 1 + len(writes)
            assert log.refusing == ""
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await process.drain()


async def write_much(log: NatsLog, number: int) -> int:
    """A fact too big for what is left of a block of the disk."""
    spec = TaskSpec(type="mcp.call", input={"text": "x" * 50_000})
    return await log.append(facts.created(f"big{number}", spec=spec))


async def troubled(process: Process) -> bool:
    return [one.kind for one in process.troubles.all()] == [UNWRITABLE]


async def test_streams_can_be_changed_and_made_on_a_disk_that_has_become_smaller(
    tmp_path: Path,
) -> None:
    async with Embedded(tmp_path, most=2_000 * MB) as server:
        await up.provision(server.url, tmp_path / "credentials")
    async with Embedded(tmp_path, most=60 * MB) as server:
        await up.provision(server.url, tmp_path / "credentials")
        bus = await connected(server, "operator")
        try:
            limit = (await room(bus)).limit
            assert limit is not None
            config = {"name": "NEW", "subjects": ["new"], "max_bytes": limit // 16}
            await ensure_stream(bus, config | {"storage": "file"})
            await ensure_stream(bus, config | {"storage": "file", "description": "changed"})
        finally:
            await bus.close()


async def test_a_start_with_too_little_disk_says_how_much_is_needed(tmp_path: Path) -> None:
    with pytest.raises(NoRoom) as caught:
        await Embedded(tmp_path, min_free=2**60).start()
    assert "are needed" in caught.value.message
    assert caught.value.hint.startswith("Free ")
