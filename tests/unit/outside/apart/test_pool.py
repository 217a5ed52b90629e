"""Worker processes: what one does to itself, it does to nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.outside.apart import pool as pool_module
from services.outside.apart.budget import CpuBudget
from services.outside.apart.pool import Result, WorkerLost, WorkerPool
from tests.unit.executor.sessions import gone
from tests.unit.executor.world import moment

MODULE = "tests.support.apart_worker"


async def deaf(_: bytes) -> bytes:
    return b""


class Heard:
    """Keeps what an order tells."""

    def __init__(self) -> None:
        self.words: list[bytes] = []
        self.some = asyncio.Event()

    async def __call__(self, word: bytes) -> bytes:
        self.words.append(word)
        self.some.set()
        return b"<" + word + b">"


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(MODULE, tmp_path / "spool")
    yield pool
    await pool.close()


async def do(pool: WorkerPool, verb: str, body: bytes = b"", owner: str = "alice") -> Result:
    async with asyncio.timeout(30):
        return await pool.run(owner, verb, body, deaf)


async def who(pool: WorkerPool, owner: str = "alice") -> dict[str, Any]:
    return msgspec.json.decode((await do(pool, "who", owner=owner)).body, type=dict[str, Any])


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(30):
        while not gone(pid):
            await moment()


async def test_orders_are_carried_out_side_by_side_and_asked_about(workers: WorkerPool) -> None:
    heard = Heard()
    many = [do(workers, "echo", str(n).encode()) for n in range(20)]
    assert [one.body for one in await asyncio.gather(*many)] == [b"%d" % n for n in range(20)]
    assert (await workers.run("alice", "ask", b"why", heard)).body == b"<why>"
    assert heard.words == [b"why"]


async def test_each_owner_has_a_process_with_little_in_it(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    alice, bob = await who(workers), await who(workers, "bob")
    assert alice["pid"] != bob["pid"]
    assert alice["parent"] == bob["parent"], "both are forks of one"
    assert alice["nice"] >= 10
    assert alice["core"] == 0
    assert "SOME_TOKEN" not in alice["environment"]
    sockets = [name for name in alice["files"] if name.startswith("socket:")]
    # Its connection, and at most the loop's own pair.
    assert len(sockets) <= 3, alice["files"]
    assert (await who(workers))["pid"] == alice["pid"], "it is kept"


async def test_a_loop_that_stands_still_is_killed_and_others_go_on(workers: WorkerPool) -> None:
    await do(workers, "echo", owner="bob")
    heard = Heard()
    beside = asyncio.create_task(workers.run("alice", "wait", b"", heard))
    await heard.some.wait()
    began = time.monotonic()
    spinning = asyncio.create_task(do(workers, "spin"))
    others = 0.0
    while not spinning.done():
        asked = time.monotonic()
        await do(workers, "echo", owner="bob")
        others = max(others, time.monotonic() - asked)
        await asyncio.wait([spinning], timeout=0.05)
    with pytest.raises(WorkerLost, match="took more than 5 s"):
        await spinning
    with pytest.raises(WorkerLost, match="took more than 5 s"):
        await beside
    assert time.monotonic() - began < 10
    assert others < 1.5
    assert (await do(workers, "echo", b"again")).body == b"again"


async def test_who_burns_the_processor_is_ended_and_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = WorkerPool(MODULE, tmp_path / "spool", CpuBudget(most_s=1.5, window_s=60))
    try:
        with pytest.raises(WorkerLost, match="time of the processor"):
            await do(pool, "burn")
        with pytest.raises(WorkerLost, match="again in"):
            await do(pool, "echo")
        assert (await do(pool, "echo", b"b", owner="bob")).body == b"b"
    finally:
        await pool.close()


async def test_memory_is_limited(workers: WorkerPool) -> None:
    await do(workers, "echo", owner="bob")
    with pytest.raises(WorkerLost, match="512 MiB of memory"):
        await do(workers, "hoard")
    assert (await do(workers, "echo", b"again")).body == b"again"


async def test_a_worker_that_dies_takes_its_orders_along_and_no_others(
    workers: WorkerPool,
) -> None:
    before = await who(workers, "bob")
    with pytest.raises(WorkerLost, match="killed by signal 9"):
        await do(workers, "die")
    assert (await who(workers, "bob"))["pid"] == before["pid"]
    assert (await do(workers, "echo", b"again")).body == b"again"


async def test_a_handler_that_breaks_breaks_one_order(workers: WorkerPool) -> None:
    pid = (await who(workers))["pid"]
    with pytest.raises(RuntimeError, match="it broke"):
        await do(workers, "break")
    assert (await who(workers))["pid"] == pid


async def test_a_cancelled_order_is_recalled_and_heard_out(workers: WorkerPool) -> None:
    heard = Heard()
    waiting = asyncio.create_task(workers.run("alice", "wait", b"", heard))
    async with asyncio.timeout(30):
        await heard.some.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert heard.words == [b"waiting", b"left"]


async def test_a_file_is_handed_over_and_nothing_else(workers: WorkerPool, tmp_path: Path) -> None:
    result = await do(workers, "file", b"much")
    assert result.file is not None
    assert result.file.parent == tmp_path / "spool"
    assert result.file.read_bytes() == b"much"
    for name in (b"../../secret", b"/etc/hostname", b".."):
        with pytest.raises((RuntimeError, OSError)):
            await do(workers, "elsewhere", name)
    with pytest.raises(RuntimeError, match="is no file"):
        await do(workers, "link")
    result.file.unlink()
    await workers.close()
    assert list((tmp_path / "spool").iterdir()) == []


async def test_files_are_limited(workers: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "KEPT_BYTES", 256 * 1024 * 1024)
    with pytest.raises(WorkerLost, match="came at the same time"):
        await do(workers, "flood")


async def test_what_rests_ends(workers: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = (await who(workers))["pid"]
    monkeypatch.setattr(pool_module, "REST_S", 0.2)
    await until_gone(pid)
    monkeypatch.setattr(pool_module, "REST_S", 60.0)
    assert (await who(workers))["pid"] != pid


async def test_at_the_limit_who_rests_makes_way_and_the_busy_share(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MOST_WORKERS", 2)
    first = (await who(workers, "a"))["pid"]
    second = (await who(workers, "b"))["pid"]
    third = (await who(workers, "c"))["pid"]
    await until_gone(first)
    assert third not in (first, second)
    waiting = []
    for owner in ("b", "c"):
        heard = Heard()
        waiting.append(asyncio.create_task(workers.run(owner, "wait", b"", heard)))
        await heard.some.wait()
    assert (await who(workers, "d"))["pid"] in (second, third)
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)


async def test_the_zygote_may_die_and_comes_again(workers: WorkerPool) -> None:
    found = await who(workers)
    os.kill(found["parent"], signal.SIGKILL)
    await until_gone(found["pid"])
    async with asyncio.timeout(30):
        while True:
            try:
                assert (await do(workers, "echo", b"again")).body == b"again"
            except WorkerLost:
                await moment()
            else:
                break


async def test_closing_ends_every_process(workers: WorkerPool) -> None:
    found = await who(workers)
    await workers.close()
    await until_gone(found["pid"])
    await until_gone(found["parent"])
    with pytest.raises(WorkerLost, match="stopping"):
        await do(workers, "echo")
