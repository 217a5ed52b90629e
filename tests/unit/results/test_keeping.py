"""Parts of results, deletion, retention, lists, and what is to move; with a real object store."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from contracts.errors import Reason
from contracts.facts import McpRegistered, ResultDeleted, ResultStored
from contracts.host import Flags, Host, Stdio
from contracts.result import (
    Kept,
    Pointer,
    ResultPage,
    inline,
)
from services.log.memory import MemoryLog
from services.process.ids import new_id
from services.results.actor import Keeper
from services.results.projection import erased, waiting
from services.results.settings import Settings
from services.store.blobs import BlobMissing, Blobs
from tests.support.facts import done, name
from tests.unit.results.test_actor import blobs, bus, file, got, keeping, log, refused, request

__all__ = ["blobs", "bus", "file", "log"]


async def part(keeper: Keeper, user: str, task: str, offset: int, length: int = 1000) -> bytes:
    ask = {"user": user, "task": task, "offset": offset, "length": length}
    return await keeper.read(msgspec.json.encode(ask))


async def test_parts_of_a_result_are_read(log: MemoryLog, blobs: Blobs, file: Path) -> None:
    user, data = name("u"), bytes(range(256)) * 2000
    await log.append(done(user, "big", result=await blobs.put(user, data)))
    await log.append(done(user, "small", result=inline(b'{"a":1}')))
    async with keeping(log, blobs, file) as keeper:
        for offset, length in ((0, 10), (300_001, 1000), (len(data) - 5, 1000), (len(data), 1)):
            assert await part(keeper, user, "big", offset, length) == data[offset:][:length]
        assert await part(keeper, user, "small", 2) == b'a":1}'
        assert await refused(part(keeper, user, "big", len(data) + 1)) is Reason.BAD_REQUEST
        assert await refused(part(keeper, user, "none", 0)) is Reason.NOT_FOUND
        assert await refused(part(keeper, name("u"), "big", 0)) is Reason.NOT_FOUND
        assert await refused(part(keeper, user, "big", 0, 10**9)) is Reason.BAD_REQUEST


async def test_a_result_that_is_news_is_waited_for(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    user, data = name("u"), b"x" * 100_000
    pointer = await blobs.put(user, data)
    async with keeping(log, blobs, file) as keeper:
        head = await log.head()
        ask = {"user": user, "task": "big", "offset": 99_998, "after": head + 1}
        reading = asyncio.create_task(keeper.read(msgspec.json.encode(ask)))
        assert not (await asyncio.wait([reading], timeout=0.05))[0]
        await log.append(done(user, "big", result=pointer))
        assert await reading == b"xx"


async def test_a_copy_that_rotted_is_fetched_again(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    user, data = name("u"), b"x" * 200_000
    await log.append(done(user, "t", result=await blobs.put(user, data)))
    async with keeping(log, blobs, file) as keeper:
        assert await part(keeper, user, "t", 0, 5) == b"xxxxx"
        (copy,) = (file.with_name("copies") / user).iterdir()
        for one in keeper._copies._open.values():
            one.read_at = 0.0
        copy.write_bytes(b"y" * 200_000)
        assert await part(keeper, user, "t", 0, 5) == b"xxxxx"
        assert copy.read_bytes() == data


async def test_a_copy_that_stands_on_no_books_is_read(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    """A read that was broken off while its copy was being checked has left one there."""
    user, data = name("u"), b"x" * 200_000
    pointer = await blobs.put(user, data)
    await log.append(done(user, "t", result=pointer))
    async with keeping(log, blobs, file) as keeper:
        folder = file.with_name("copies") / user
        folder.mkdir()
        (folder / pointer.sha256).write_bytes(data)
        assert await part(keeper, user, "t", 0, 5) == b"xxxxx"
        assert sum(keeper._copies._sizes.values()) == len(data), "now it does"


async def test_copies_have_a_limit(log: MemoryLog, blobs: Blobs, file: Path) -> None:
    user = name("u")
    for n in range(5):
        pointer = await blobs.put(user, b"%d" % n * 400_000)
        await log.append(done(user, f"t{n}", result=pointer))
    small = Settings(cache_bytes=1024 * 1024)
    async with keeping(log, blobs, file, small) as keeper:
        for n in range(5):
            assert await part(keeper, user, f"t{n}", 399_999) == b"%d" % n
        kept = list((file.with_name("copies") / user).iterdir())
        assert sum(path.stat().st_size for path in kept) <= 1024 * 1024
        assert await part(keeper, user, "t0", 0, 2) == b"00", "what is open is read on"


async def test_many_readers_fetch_once(log: MemoryLog, blobs: Blobs, file: Path) -> None:
    user = name("u")
    pointer = await blobs.put(user, b"z" * 500_000)
    await log.append(done(user, "t", result=pointer))
    async with keeping(log, blobs, file) as keeper:
        fetched = 0
        fetch = keeper._copies._fetch

        async def counted(*args: object) -> Path:
            nonlocal fetched
            fetched += 1
            return await fetch(*args)  # type: ignore[arg-type]

        keeper._copies._fetch = counted
        parts = await asyncio.gather(*(part(keeper, user, "t", n, 1) for n in range(20)))
        assert parts == [b"z"] * 20
        assert fetched == 1


async def test_an_owner_deletes_a_result(log: MemoryLog, blobs: Blobs, file: Path) -> None:
    user = name("u")
    pointer = await blobs.put(user, b"big" * 100_000)
    for task in ("one", "two"):
        await log.append(done(user, task, result=pointer))
    await log.append(done(user, "small", result=inline(b"1")))
    async with keeping(log, blobs, file) as keeper:
        for task in ("one", "small", "two"):
            answer = msgspec.json.decode(await keeper.delete(request(user, task)), type=Kept)
            assert answer.deleted == "deleted by its owner"
            assert await refused(part(keeper, user, task, 0)) is Reason.NOT_FOUND
            if task == "one":
                assert (await blobs.info(pointer.uri)).size == 300_000, "another still has it"
        with pytest.raises(BlobMissing):
            await blobs.info(pointer.uri)
        again = msgspec.json.decode(await keeper.delete(request(user, "one")), type=Kept)
        assert again.deleted
        assert await refused(keeper.delete(request(user, "none"))) is Reason.NOT_FOUND


async def test_a_result_that_moved_after_its_deletion_stays_deleted(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    place = Pointer(f"hf://datasets/ann/results@{'0' * 40}/results/f.json", "0" * 64, 1)
    for task in ("t1", "t2"):
        await log.append(done("ann", task, result=inline(b"1")))
    await log.append(ResultDeleted(id=new_id(), by="t", user="ann", task="t1", reason="old"))
    for task in ("t1", "t2"):
        await log.append(ResultStored(id=new_id(), by="t", user="ann", task=task, pointer=place))
    async with keeping(log, blobs, file) as keeper:
        assert (await got(keeper, "ann", "t1")).result.deleted == "old"
        assert await refused(part(keeper, "ann", "t1", 0)) is Reason.NOT_FOUND
        assert (await got(keeper, "ann", "t2")).result.deleted == ""
        assert await erased(keeper._projection, 0.0, 0, 10) == [], "another has the same bytes"
        await log.append(ResultDeleted(id=new_id(), by="t", user="ann", task="t2", reason="old"))
        assert await keeper._projection.reached(await log.head(), 10)
        gone = await erased(keeper._projection, 0.0, 0, 10)
        assert [kept.task for kept in gone] == ["t1", "t2"], "the bytes that moved go too"


async def test_lists_are_filtered_and_counted(log: MemoryLog, blobs: Blobs, file: Path) -> None:
    user = name("u")
    pointer = await blobs.put(user, b"big" * 100_000)
    await log.append(done(user, "t1", host="a", result=pointer))
    await log.append(done(user, "t2", host="b", result=inline(b"12")))
    await log.append(done(user, "t3", host="b", result=inline(b"1")))
    await log.append(ResultDeleted(id=new_id(), by="t", user=user, task="t3", reason="old"))
    async with keeping(log, blobs, file, Settings(retention_days=1)) as keeper:

        async def tasks(**filters: object) -> tuple[list[str], int, int]:
            ask = msgspec.json.encode({"user": user, **filters})
            page = msgspec.json.decode(await keeper.list_results(ask), type=ResultPage)
            return [kept.task for kept in page.results], page.total, page.size

        assert await tasks() == (["t3", "t2", "t1"], 3, 300_003)
        assert await tasks(limit=1) == (["t3"], 3, 300_003)
        assert await tasks(kind="object_store") == (["t1"], 1, 300_000)
        assert await tasks(kind="dataset") == ([], 0, 0)
        assert await tasks(host="b", deleted=False) == (["t2"], 1, 2)
        assert await tasks(deleted=True) == (["t3"], 1, 1)
        assert await tasks(since=2e9) == ([], 0, 0)
        assert len((await tasks(until=2e9))[0]) == 3
        found = await got(keeper, user, "t1")
        assert found.result.expires == found.result.created + 86_400
        assert (await got(keeper, user, "t2")).result.expires == 0


async def test_old_results_and_unused_blobs_go(log: MemoryLog, blobs: Blobs, file: Path) -> None:
    user = name("u")
    old = await blobs.put(user, b"old" * 100_000)
    young = await blobs.put(user, b"young" * 100_000)
    unused = await blobs.put(user, b"unused" * 100_000)
    await log.append(done(user, "old", result=old))
    await log.append(done(user, "young", result=young))
    settings = Settings(retention_days=30, blob_days=10)
    async with keeping(log, blobs, file, settings) as keeper:
        sweeper = keeper._sweeper
        await sweeper.sweep()
        assert (await got(keeper, user, "old")).result.deleted == ""
        assert (await blobs.info(unused.uri)).size
        now = time.time()
        sweeper._now = lambda: now + 11 * 86_400
        await sweeper.sweep()
        with pytest.raises(BlobMissing):
            await blobs.info(unused.uri)
        assert (await blobs.info(old.uri)).size, "a living result has it"
        sweeper._now = lambda: now + 31 * 86_400
        await sweeper.sweep()
        found = (await got(keeper, user, "old")).result
        assert found.deleted == "retention: older than 30 days"
        assert (await got(keeper, user, "young")).result.deleted
        for gone in (old, young):
            with pytest.raises(BlobMissing):
                await blobs.info(gone.uri)


async def test_what_is_to_move_stands_in_the_tables(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    user = name("u")
    pointer = await blobs.put(user, b"big" * 100_000)
    prefers = Host(
        id="h", name="h", endpoint=Stdio("x"), flags=Flags(result_pointer_preferred=True)
    )
    plain = msgspec.structs.replace(prefers, flags=Flags())
    await log.append(done(user, "before", host="h", result=pointer))
    await log.append(McpRegistered(id=new_id(), by="t", host="h", k=1, spec=prefers))
    for task, host in (("t1", "h"), ("t2", "h"), ("t3", "other"), ("t4", "h")):
        await log.append(done(user, task, host=host, result=pointer))
    await log.append(done(user, "small", host="h", result=inline(b"1")))
    await log.append(ResultStored(id=new_id(), by="t", user=user, task="t2", pointer=pointer))
    await log.append(ResultDeleted(id=new_id(), by="t", user=user, task="t4", reason="old"))
    await log.append(McpRegistered(id=new_id(), by="t", host="h", k=2, spec=plain))
    await log.append(done(user, "after", host="h", result=pointer))
    async with keeping(log, blobs, file) as keeper:
        rows = await waiting(keeper._projection, user, 0.0, 10)
        assert [(move.task, move.pointer, move.host) for move in rows] == [("t1", pointer, "h")]
        assert await waiting(keeper._projection, user, 2e9, 10) == []


async def test_no_bytes_go_while_a_result_cannot_be_read(
    log: MemoryLog, blobs: Blobs, file: Path
) -> None:
    user = name("u")
    newer = await blobs.put(user, b"newer" * 100_000)
    told = {"type": "job.done", "id": "f", "by": "x", "outcome": "paused", "at": newer.uri}
    log.foreign(f"job.done.{user}.t1.end", msgspec.json.encode(told))
    await log.append(done(user, "t2", result=newer))
    settings = Settings(retention_days=30, blob_days=10)
    async with keeping(log, blobs, file, settings) as keeper:
        sweeper = keeper._sweeper
        kept = (await got(keeper, user, "t2")).result
        await sweeper.delete(kept, "not wanted")
        now = time.time()
        sweeper._now = lambda: now + 11 * 86_400
        await sweeper.sweep()
        assert (await blobs.info(newer.uri)).size == newer.size
