"""Rows and checkpoint move together; what can't be trusted is built anew."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from contracts.facts import Record
from services.log.damage import ViewError, ViewUnfit
from services.log.memory import MemoryLog
from services.log.port import START, Append, Checkpoint
from services.log.projection import (
    Change,
    Projection,
    merge,
    project,
    view_path,
)
from tests.support import facts

SCHEMA = ("CREATE TABLE IF NOT EXISTS seen (seq INTEGER PRIMARY KEY, task TEXT)",)
INSERT = "INSERT INTO seen VALUES (?, ?)"
ROWS = "SELECT seq, task FROM seen ORDER BY seq"


def apply(records: list[Record]) -> Sequence[Change]:
    return [Change(INSERT, [(r.seq, r.fact.task) for r in records])]  # type: ignore[union-attr]


@contextlib.asynccontextmanager
async def running(log: MemoryLog, path: Path) -> AsyncIterator[Projection]:
    projection = await Projection.open(path, SCHEMA, 1)
    following = asyncio.create_task(project(log, projection, (">",), apply))
    try:
        yield projection
    finally:
        following.cancel()
        await asyncio.wait([following])
        await projection.close()


async def fill(log: MemoryLog, count: int) -> int:
    await log.append_all([Append(facts.created()) for _ in range(count)])
    return await log.head()


def test_every_view_of_a_data_folder_has_a_file_of_its_own(tmp_path: Path) -> None:
    paths = {view_path(tmp_path, name) for name in ("router-1", "router-2", "executor-1")}
    assert len(paths) == 3
    assert {path.parent for path in paths} == {tmp_path / "views"}


async def test_the_last_rows_are_written_however_often_it_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, path = MemoryLog(), tmp_path / "view.db"
    head = await fill(log, 3)
    projection = await Projection.open(path, SCHEMA, 1)
    begun, go, commit = asyncio.Event(), asyncio.Event(), projection.commit

    async def slow(changes: Sequence[Change], checkpoint: Checkpoint) -> None:
        begun.set()
        await go.wait()
        await commit(changes, checkpoint)

    monkeypatch.setattr(projection, "commit", slow)
    following = asyncio.create_task(project(log, projection, (">",), apply))
    await begun.wait()
    for _ in range(3):
        following.cancel()
        await asyncio.wait([following], timeout=0.01)
    go.set()
    await asyncio.wait([following])
    assert following.cancelled()
    assert projection.position == head
    await projection.close()


async def test_rows_follow_the_log_and_go_on_after_a_restart(tmp_path: Path) -> None:
    log, path = MemoryLog(), tmp_path / "view.db"
    first = await fill(log, 700)
    async with running(log, path) as projection:
        assert await projection.reached(first, 5)
    last = await fill(log, 700)
    async with running(log, path) as projection:
        assert projection.position == first
        assert await projection.reached(last, 5)
        rows = await projection.query(ROWS)
    assert [row[0] for row in rows] == list(range(1, last + 1))


async def test_a_deleted_file_comes_back_row_for_row(tmp_path: Path) -> None:
    log, path = MemoryLog(), tmp_path / "view.db"
    last = await fill(log, 50)
    async with running(log, path) as projection:
        assert await projection.reached(last, 5)
        before = await projection.query(ROWS)
    path.unlink()
    async with running(log, path) as projection:
        assert await projection.reached(last, 5)
        assert await projection.query(ROWS) == before


def other_version(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE checkpoint SET version = 99")
        db.commit()


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


@pytest.mark.parametrize("spoil", [other_version, garbage])
async def test_a_file_that_cannot_be_used_is_rebuilt(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    log, path = MemoryLog(), tmp_path / "view.db"
    last = await fill(log, 20)
    async with running(log, path) as projection:
        assert await projection.reached(last, 5)
    spoil(path)
    async with running(log, path) as projection:
        assert await projection.reached(last, 5)
        assert len(await projection.query(ROWS)) == last


async def test_another_log_means_another_view(tmp_path: Path) -> None:
    path = tmp_path / "view.db"
    old = MemoryLog("2026-01-01T00:00:00Z")
    last = await fill(old, 30)
    async with running(old, path) as projection:
        assert await projection.reached(last, 5)
    new = MemoryLog("2026-02-02T00:00:00Z")
    await fill(new, 3)
    async with running(new, path) as projection:
        async with asyncio.timeout(30):
            while projection.checkpoint.epoch != new.epoch or projection.position < 3:
                await projection._moved.wait()
        assert len(await projection.query(ROWS)) == 3


async def test_a_failed_change_leaves_neither_rows_nor_checkpoint(tmp_path: Path) -> None:
    projection = await Projection.open(tmp_path / "view.db", SCHEMA, 1)
    good, bad = Change(INSERT, [(1, "a")]), Change(INSERT, [(1, "again")])
    with pytest.raises(ViewUnfit, match="UNIQUE"):
        await projection.commit([good, bad], Checkpoint("e", 1, "f"))
    assert projection.checkpoint == START
    assert await projection.query(ROWS) == []
    await projection.commit([good], Checkpoint("e", 1, "f"))
    assert await projection.query(ROWS) == [(1, "a")]
    await projection.close()


async def test_what_is_committed_is_seen_at_once_beside_others_who_read(tmp_path: Path) -> None:
    projection = await Projection.open(tmp_path / "view.db", SCHEMA, 1)
    over = False

    async def read() -> None:
        while not over:
            await projection.query(ROWS)

    reading = [asyncio.create_task(read()) for _ in range(8)]
    try:
        for seq in range(1, 201):
            await projection.commit([Change(INSERT, [(seq, "t")])], Checkpoint("e", seq, ""))
            assert len(await projection.query(ROWS)) == seq
    finally:
        over = True
        await asyncio.gather(*reading)
        await projection.close()


async def test_waiting_for_what_does_not_come_ends(tmp_path: Path) -> None:
    projection = await Projection.open(tmp_path / "view.db", SCHEMA, 1)
    assert not await projection.reached(1, 0.02)
    await projection.close()


def test_neighbours_with_one_statement_become_one() -> None:
    changes = [Change("a", [(1,)]), Change("a", [(2,)]), Change("b", [(3,)]), Change("a", [(4,)])]
    assert merge(changes) == [("a", [(1,), (2,)]), ("b", [(3,)]), ("a", [(4,)])]


async def test_a_write_that_fails_under_load_is_seen_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.log.projection.MOST_WAITING", 20)
    log = MemoryLog()
    await fill(log, 2000)
    projection = await Projection.open(tmp_path / "view.db", SCHEMA, 1)
    twice = Change(INSERT, [(1, "a"), (1, "again")])
    seen = asyncio.Event()
    work = project(log, projection, (">",), lambda records: [twice], on_reset=seen.set)
    following = asyncio.create_task(work)
    async with asyncio.timeout(30):
        await seen.wait()
    assert projection.checkpoint == START
    following.cancel()
    await asyncio.wait([following])
    await projection.close()


@pytest.mark.parametrize("most", ["MOST_WAITING", "MOST_BYTES"])
async def test_what_is_much_waits_for_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    monkeypatch.setattr(f"services.log.projection.{most}", 20 if most == "MOST_WAITING" else 4000)
    log = MemoryLog()
    last = await fill(log, 200)
    projection = await Projection.open(tmp_path / "view.db", SCHEMA, 1)
    following = asyncio.create_task(project(log, projection, (">",), apply, gather_s=60.0))
    async with asyncio.timeout(30):
        while projection.position < last:
            await projection._moved.wait()
    following.cancel()
    await asyncio.wait([following])
    await projection.close()


async def filled(path: Path) -> MemoryLog:
    """A view of a small log, closed."""
    log = MemoryLog()
    last = await fill(log, 20)
    async with running(log, path) as projection:
        assert await projection.reached(last, 5)
    return log


async def test_a_view_that_is_locked_is_left_as_it_is_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "view.db"
    log = await filled(path)
    kept = path.stat().st_ino
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("UPDATE checkpoint SET seq = seq")
        with pytest.raises(ViewError, match="can't be used now: database is locked"):
            await Projection.open(path, SCHEMA, 1)
    assert path.stat().st_ino == kept
    async with running(log, path) as projection:
        assert projection.position == 20, "nothing was built anew"


@pytest.fixture
def log_lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


async def test_a_view_on_a_full_disk_is_left_as_it_is_and_said_so(
    tmp_path: Path, log_lines: list[Any]
) -> None:
    path = tmp_path / "view.db"
    log = await filled(path)
    projection = await Projection.open(path, SCHEMA, 1)
    ((pages,),) = await projection.query("PRAGMA page_count")
    # SQLite says the same of a full disk and of a file that has reached its limit.
    await projection._writer.execute(f"PRAGMA max_page_count = {pages}")
    changes = [Change(INSERT, [(n, "x" * 4000) for n in range(100, 200)])]
    with pytest.raises(ViewError, match="full"):
        await projection.commit(changes, Checkpoint(log.epoch, 20, ""))
    assert len(await projection.query(ROWS)) == 20
    assert projection.position == 20
    await projection.close()
    assert "projection_rebuilt" not in [line["event"] for line in log_lines]


async def test_a_view_in_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "view.db").mkdir()
    with pytest.raises(ViewError, match="unable to open database file"):
        await Projection.open(tmp_path / "view.db", SCHEMA, 1)
    assert (tmp_path / "view.db").is_dir()
    # aiosqlite does not wait for the thread of a connection that could not be made.
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, 5)


async def test_a_view_damaged_under_way_is_built_anew(tmp_path: Path, log_lines: list[Any]) -> None:
    path, log = tmp_path / "view.db", MemoryLog()
    last = await fill(log, 20)
    resets = []
    projection = await Projection.open(path, SCHEMA, 1)

    def spoiled(records: list[Record]) -> Sequence[Change]:
        if not resets:
            raise ViewUnfit("database disk image is malformed")
        return apply(records)

    work = project(log, projection, (">",), spoiled, on_reset=lambda: resets.append(1))
    following = asyncio.create_task(work)
    try:
        async with asyncio.timeout(30):
            while not resets or projection.position < last:
                await projection._moved.wait()
        assert len(await projection.query(ROWS)) == last
    finally:
        following.cancel()
        await asyncio.wait([following])
        await projection.close()
    assert "projection_rebuilt" in [line["event"] for line in log_lines]


def older_tables(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE checkpoint DROP COLUMN fact_id")
        db.commit()


def torn(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:] = b"\xa5" * (len(data) - 100)
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [older_tables, torn])
async def test_an_older_or_torn_view_is_built_anew_and_said_so(
    tmp_path: Path, spoil: Callable[[Path], object], log_lines: list[Any]
) -> None:
    path = tmp_path / "view.db"
    log = await filled(path)
    spoil(path)
    async with running(log, path) as projection:
        assert await projection.reached(20, 5)
        assert len(await projection.query(ROWS)) == 20
    assert "projection_rebuilt" in [line["event"] for line in log_lines]
