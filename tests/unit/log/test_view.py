"""A view that can't be used holds up nobody for good, and one that is damaged comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from contracts.errors import Reason
from contracts.facts import Record
from services.log.damage import AGAIN_S, ViewError, ViewUnfit, meaning
from services.log.memory import MemoryLog
from services.log.port import Append, Batch
from services.log.projection import Change, Projection, project, reads
from services.process.troubles import ProcessTroubles
from tests.support import facts
from tests.support.spoiled import SPOILS, opened

SCHEMA = ("CREATE TABLE IF NOT EXISTS seen (seq INTEGER PRIMARY KEY, task TEXT, more TEXT)",)
INSERT = "INSERT INTO seen VALUES (?, ?, ?)"
MORE = "x" * 200


class Watched:
    """One view that is filled, and what is seen of it."""

    def __init__(self, path: Path, log: MemoryLog) -> None:
        self.path, self.log = path, log
        self.troubles = ProcessTroubles()
        self.view = Projection(path, SCHEMA, 1, self.troubles)
        self.loaded: list[int] = []
        self.seen: list[int] = []
        self.applied: list[int] = []
        self.resets = 0

    @property
    def kinds(self) -> list[str]:
        return [trouble.kind for trouble in self.troubles.all()]

    async def load(self) -> None:
        self.loaded = await numbers(self.view)

    def apply(self, records: list[Record]) -> Sequence[Change]:
        self.applied += [record.seq for record in records]
        return [Change(INSERT, [(r.seq, str(r.seq), MORE) for r in records])]

    def on_batch(self, batch: Batch) -> None:
        self.seen += [record.seq for record in batch.records]

    def reset(self) -> None:
        self.resets += 1
        self.loaded, self.seen, self.applied = [], [], []

    async def fill(self, count: int) -> int:
        await self.log.append_all([Append(facts.created()) for _ in range(count)])
        return await self.log.head()

    async def until(self, so: Callable[[], bool]) -> None:
        never = asyncio.Event()
        async with asyncio.timeout(20):
            while not so():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(never.wait(), 0.01)

    async def whole(self) -> None:
        """All rows are there, each once, and nothing is wrong any more."""
        head = await self.log.head()
        sound = self.view
        await self.until(lambda: sound.position == head and not sound.wrong and not self.kinds)
        assert await numbers(self.view) == list(range(1, head + 1))
        assert self.loaded + self.seen == list(range(1, head + 1))


@reads
async def numbers(view: Projection) -> list[int]:
    rows = await view.query("SELECT task FROM seen ORDER BY seq")
    return [int(task) for (task,) in rows]


@contextlib.asynccontextmanager
async def running(one: Watched) -> AsyncIterator[Watched]:
    work = project(
        *(one.log, one.view, (">",), one.apply),
        load=one.load,
        on_batch=one.on_batch,
        on_reset=one.reset,
        gather_s=0,
    )
    following = asyncio.create_task(work)
    try:
        yield one
        assert not following.done()
    finally:
        following.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([following])
        await one.view.close()


@pytest.fixture
async def log() -> MemoryLog:
    return MemoryLog()


async def filled(path: Path, log: MemoryLog, count: int = 300) -> None:
    async with running(Watched(path, log)) as one:
        await one.fill(count)
        await one.whole()


async def limit(view: Projection, pages: int) -> None:
    """SQLite says the same of a full disk and of a file that has reached its limit."""
    await view._writer.execute(f"PRAGMA max_page_count = {pages}")


async def test_a_full_disk_is_waited_for_and_nothing_is_lost(
    tmp_path: Path, log: MemoryLog
) -> None:
    async with running(Watched(tmp_path / "v.sqlite", log)) as one:
        await one.fill(50)
        await one.whole()
        await limit(one.view, 1)
        head = await one.fill(400)
        await one.until(lambda: one.kinds == ["view_unwritable"])
        more = await one.fill(100)
        await one.until(lambda: one.seen[-1] == more)
        assert one.view.position < head
        assert await numbers(one.view), "what was written is read"
        with pytest.raises(ViewError, match="full") as refused:
            await one.view.shows(head, 0.01)
        assert refused.value.reason is Reason.UNAVAILABLE
        assert str(tmp_path) not in str(one.troubles.all()) + refused.value.message
        await limit(one.view, 100_000)
        await one.whole()
        assert one.applied == list(range(1, more + 1)), "changes are worked out once"
        assert one.resets == 0


async def test_what_stops_while_the_disk_is_full_goes_on_with_the_next_start(
    tmp_path: Path, log: MemoryLog
) -> None:
    async with running(Watched(tmp_path / "v.sqlite", log)) as one:
        await one.fill(50)
        await one.whole()
        await limit(one.view, 1)
        await one.fill(400)
        await one.until(lambda: bool(one.kinds))
    async with running(Watched(tmp_path / "v.sqlite", log)) as again:
        await again.whole()
        assert again.loaded
        assert again.seen


@contextlib.contextmanager
def locked(path: Path, *statements: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        for statement in statements:
            other.execute(statement)
        yield other


BEGIN = ("BEGIN EXCLUSIVE",)
WHOLLY = ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "UPDATE checkpoint SET seq = seq")


async def test_a_lock_of_another_program_holds_up_rows_alone(
    tmp_path: Path, log: MemoryLog
) -> None:
    async with running(Watched(tmp_path / "v.sqlite", log)) as one:
        await one.fill(10)
        await one.whole()
        with locked(one.path, *BEGIN):
            head = await one.fill(10)
            await one.until(lambda: one.kinds == ["view_locked"])
            assert one.seen[-1] == head
            assert len(await numbers(one.view)) == 10
        await one.whole()
        assert one.resets == 0


@pytest.mark.parametrize("how", [BEGIN, WHOLLY], ids=["begin", "wholly"])
async def test_a_view_that_is_locked_at_the_start_is_waited_for(
    tmp_path: Path, log: MemoryLog, how: tuple[str, ...]
) -> None:
    await filled(tmp_path / "v.sqlite", log, 20)
    one = Watched(tmp_path / "v.sqlite", log)
    await one.fill(5)
    with locked(one.path, *how):
        async with running(one):
            await one.until(lambda: one.kinds == ["view_locked"])
            if how == WHOLLY:
                with pytest.raises(ViewError, match="locked"):
                    await numbers(one.view)
    async with running(Watched(one.path, log)) as again:
        await again.whole()
        assert len(again.loaded) == 20


async def test_a_lock_that_ends_after_the_start_is_all_that_was_waited_for(
    tmp_path: Path, log: MemoryLog
) -> None:
    await filled(tmp_path / "v.sqlite", log, 20)
    one = Watched(tmp_path / "v.sqlite", log)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(one.path, *WHOLLY))
        async with running(one):
            await one.until(lambda: one.kinds == ["view_locked"])
            stack.close()
            await one.fill(5)
            await one.whole()
            assert len(one.loaded) == 20


async def test_a_folder_that_can_be_made_only_later_is_waited_for(
    tmp_path: Path, log: MemoryLog
) -> None:
    blocked = tmp_path / "views"
    blocked.write_text("")
    async with running(Watched(blocked / "v.sqlite", log)) as one:
        await one.fill(5)
        await one.until(lambda: one.kinds == ["view_unwritable"])
        blocked.unlink()
        await one.whole()


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
async def test_a_damaged_view_is_built_anew_and_kept_aside(
    tmp_path: Path, log: MemoryLog, spoil: Callable[[Path], None]
) -> None:
    await filled(tmp_path / "v.sqlite", log)
    spoil(tmp_path / "v.sqlite")
    spoilt = (tmp_path / "v.sqlite").read_bytes()
    async with running(Watched(tmp_path / "v.sqlite", log)) as one:
        await one.until(lambda: bool(one.resets))
        await one.whole()
        assert one.resets == 1
        kept = tmp_path / "v.sqlite.damaged"
        assert kept.read_bytes()[: len(spoilt)] == spoilt


async def test_damage_that_a_reader_finds_is_mended_too(tmp_path: Path, log: MemoryLog) -> None:
    async with running(Watched(tmp_path / "v.sqlite", log)) as one:
        await one.fill(50)
        await one.whole()
        with opened(one.path) as db:
            db.execute("UPDATE seen SET task = 'no number' WHERE seq = 20")
        with pytest.raises(ViewUnfit, match="row can't be read") as refused:
            await numbers(one.view)
        assert refused.value.reason is Reason.UNAVAILABLE
        await one.until(lambda: bool(one.resets))
        await one.whole()


async def test_what_is_damaged_again_within_the_hour_waits_for_it(
    tmp_path: Path, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.log.view.LOOK_S", 0.01)
    path, kept = tmp_path / "v.sqlite", tmp_path / "v.sqlite.damaged"
    await filled(path, log, 20)
    kept.write_bytes(b"")
    SPOILS[-1](path)
    async with running(Watched(path, log)) as one:
        await one.until(lambda: one.kinds == ["view_damaged"])
        (trouble,) = one.troubles.all()
        assert "damaged again" in trouble.text
        assert " UTC" in trouble.text
        with pytest.raises(ViewUnfit):
            await numbers(one.view)
        assert kept.read_bytes() == b""
        assert one.view.position == 0
        ago = kept.stat().st_mtime - AGAIN_S
        os.utime(kept, (ago, ago))
        await one.whole()
        assert kept.read_bytes()


async def test_another_release_costs_no_hour_and_keeps_nothing(
    tmp_path: Path, log: MemoryLog
) -> None:
    await filled(tmp_path / "v.sqlite", log, 20)
    with opened(tmp_path / "v.sqlite") as db:
        db.execute("UPDATE checkpoint SET version = 99")
    async with running(Watched(tmp_path / "v.sqlite", log)) as one:
        await one.until(lambda: bool(one.resets))
        await one.whole()
    assert not (tmp_path / "v.sqlite.damaged").exists()


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (sqlite3.SQLITE_BUSY, ViewError),
        (sqlite3.SQLITE_FULL, ViewError),
        (sqlite3.SQLITE_READONLY, ViewError),
        (sqlite3.SQLITE_IOERR_WRITE, ViewError),
        (sqlite3.SQLITE_IOERR_SHORT_READ, ViewUnfit),
        (sqlite3.SQLITE_CORRUPT, ViewUnfit),
        (sqlite3.SQLITE_NOTADB, ViewUnfit),
        (0, ViewUnfit),
    ],
)
def test_what_may_pass_is_told_from_damage(code: int, what: type[Exception]) -> None:
    error = sqlite3.OperationalError("it")
    if code:
        error.sqlite_errorcode = code
    assert isinstance(meaning(error), what)


async def test_a_query_of_ours_that_is_wrong_costs_no_view(tmp_path: Path, log: MemoryLog) -> None:
    async with running(Watched(tmp_path / "v.sqlite", log)) as one:
        await one.fill(5)
        await one.whole()
        with pytest.raises(sqlite3.OperationalError, match="no such column"):
            await one.view.query("SELECT absent FROM seen")
        await one.fill(5)
        await one.whole()
        assert one.resets == 0


async def test_a_connection_that_could_only_read_is_opened_again(
    tmp_path: Path, log: MemoryLog
) -> None:
    async with running(Watched(tmp_path / "v.sqlite", log)) as one:
        await one.fill(10)
        await one.whole()
        await one.view._writer.execute("PRAGMA query_only = ON")
        await one.fill(10)
        await one.whole()
        assert one.resets == 0
