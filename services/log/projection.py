"""A service's own view of the log in SQLite: rows and checkpoint change in one transaction.

The log is the truth: a file that is missing, damaged, of another version or log is built anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiosqlite
import structlog

from contracts import subjects
from contracts.facts import Record, Unknown, words
from services.bus import metrics
from services.log.port import START, Batch, Checkpoint, Log, LogMismatch

CHECKPOINT_SCHEMA = """CREATE TABLE IF NOT EXISTS checkpoint (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER, epoch TEXT, seq INTEGER, fact_id TEXT
)"""
PASSED_SCHEMA = "CREATE TABLE IF NOT EXISTS passed_over (type TEXT PRIMARY KEY, words TEXT)"
"""Types of facts of which some could not be read, and what the release could read that tried."""
_PASS_OVER = "REPLACE INTO passed_over VALUES (?, ?)"
UNFIT = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
)
"""SQLite's codes for a file that is damaged, or has other tables than ours."""
MOST_WAITING = 8192
MOST_BYTES = 32 * 1024 * 1024
"""Facts that are not written yet, and the size of their JSON: more are not taken."""
HALF = 0.5
"""Of these: from then on rows wait for no others."""
GATHER_S = 0.25
"""How long rows wait for others, so that what changes often is written once: the log has it all."""

log = structlog.get_logger()


class Change(NamedTuple):
    """One statement and the rows it is run for."""

    sql: str
    rows: Sequence[Sequence[object]]


def view_path(data: Path, instance: str) -> Path:
    """Where an instance keeps its view: files in this folder may be deleted while it is down."""
    return data / "views" / f"{instance}.sqlite"


class ViewError(OSError):
    """The view can't be used now (locked, disk full, no rights); its file is left as it is."""


class ViewUnfit(Exception):
    """The file is damaged or of another release: it has to be built anew."""


Apply = Callable[[list[Record]], Sequence[Change]]
OnBatch = Callable[[Batch], Awaitable[None] | None]


class Projection:
    """One SQLite file with one writer."""

    def __init__(self, path: Path, schema: Sequence[str], version: int) -> None:
        self._path = path
        self._schema = schema
        self._version = version
        self._writer: aiosqlite.Connection
        self._reader: aiosqlite.Connection
        self._moved = asyncio.Event()
        self.awaited = asyncio.Event()
        """Set when somebody waits for rows, or many wait to be written: no delay then."""
        self.checkpoint = START
        self.passed_over: set[str] = set()
        """Types of facts of which some could not be read: the rows don't have what they say."""

    @classmethod
    async def open(cls, path: Path, schema: Sequence[str], version: int) -> Projection:
        """Open or create the file. Raises OSError when it or its folder can't be used."""
        self = cls(path, schema, version)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            await self._connect()
        except ViewUnfit as error:
            log.warning("projection_rebuilt", path=str(path), error=str(error))
            self._remove()
            await self._connect()
        return self

    @property
    def position(self) -> int:
        """Sequence through which the rows are complete."""
        return self.checkpoint.seq

    async def commit(self, changes: Sequence[Change], checkpoint: Checkpoint) -> None:
        """Apply changes and move the checkpoint in one transaction. Raises ViewError, ViewUnfit."""
        try:
            with self._told():
                for change in changes:
                    if change.rows:
                        await self._writer.executemany(change.sql, change.rows)
                await self._mark(checkpoint)
                await self._writer.commit()
        except BaseException:
            with contextlib.suppress(sqlite3.OperationalError):
                await self._writer.rollback()
            raise
        self._arrived(checkpoint)

    async def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a SELECT on the reading connection; it sees committed rows only."""
        # In one step: a query that is half read would hold all others at what it saw.
        return [tuple(row) for row in await self._reader.execute_fetchall(sql, params)]

    async def reached(self, seq: int, timeout_s: float) -> bool:
        """Wait until the rows are complete through `seq`; False after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.checkpoint.seq < seq:
                    self.awaited.set()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def reset(self) -> None:
        """Forget every row and start again from the beginning of the log."""
        await self._disconnect()
        self._remove()
        self.checkpoint = START
        self.passed_over.clear()
        await self._connect()

    async def close(self) -> None:
        """Close the file."""
        await self._disconnect()

    async def _connect(self) -> None:
        """Open the file. Raises ViewUnfit, or ViewError for what building it anew won't mend."""
        try:
            with self._told():
                await self._open()
        except BaseException:
            await self._disconnect()
            raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what SQLite says of the file into ViewUnfit or ViewError."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError):
            raise
        except sqlite3.DatabaseError as error:
            # The lower byte is the kind, the others say more of it.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in UNFIT:
                raise ViewUnfit(str(error)) from error
            text = f"The view {self._path} can't be used now: {error}"
            raise ViewError(errno.EIO, text, str(self._path)) from error

    async def _open(self) -> None:
        self._writer = await aiosqlite.connect(self._path)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000"):
            await self._writer.execute(f"PRAGMA {pragma}")
        await self._writer.execute(CHECKPOINT_SCHEMA)
        select = "SELECT version, epoch, seq, fact_id FROM checkpoint"
        async with self._writer.execute(select) as cursor:
            row = await cursor.fetchone()
        if row and row[0] != self._version:
            raise ViewUnfit(f"version {row[0]} of the view, {self._version} is wanted")
        await self._writer.execute(PASSED_SCHEMA)
        async with self._writer.execute("SELECT type, words FROM passed_over") as cursor:
            passed = [(str(kind), read) for kind, read in await cursor.fetchall()]
        if any(read != words() for _, read in passed):
            raise ViewUnfit("it lacks facts that this release may be able to read")
        self.passed_over = {kind for kind, _ in passed}
        for statement in self._schema:
            await self._writer.execute(statement)
        if row:
            self.checkpoint = Checkpoint(*row[1:])
        else:
            await self._mark(START)
        await self._writer.commit()
        self._reader = await aiosqlite.connect(self._path)
        await self._reader.execute("PRAGMA query_only=ON")

    async def _disconnect(self) -> None:
        for name in ("_reader", "_writer"):
            connection = self.__dict__.pop(name, None)
            if connection:
                await connection.close()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    async def _mark(self, checkpoint: Checkpoint) -> None:
        row = (1, self._version, *checkpoint)
        await self._writer.execute("REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?)", row)

    def _arrived(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._moved.set()
        self._moved = asyncio.Event()


class Pump:
    """Moves facts from the log into a projection.

    `on_batch` sees a batch at once. Rows are written behind: `apply` gets the facts of many batches
    together, so that what changed often is written once.
    """

    def __init__(
        self, projection: Projection, apply: Apply, on_batch: OnBatch | None, gather_s: float
    ) -> None:
        self._projection = projection
        self._apply = apply
        self._on_batch = on_batch
        self._gather_s = gather_s
        self._unwritten: list[Record] = []
        self._bytes = 0
        self._passed: dict[str, None] = {}
        """Types that `projection.passed_over` has, or will have with the rows."""
        self._mark = projection.checkpoint
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._stopping = False

    async def take(self, batch: Batch, epoch: str) -> None:
        """Hand one batch on; waits when too much is unwritten."""
        for record in batch.records:
            if isinstance(record.fact, Unknown):
                self._pass_over(record, record.fact)
        if self._on_batch:
            waiting = self._on_batch(batch)
            if waiting is not None:
                await waiting
        self._unwritten += batch.records
        self._bytes += sum([len(record.data) for record in batch.records])
        last = batch.records[-1] if batch.records else None
        if last and last.seq == batch.through:
            self._mark = Checkpoint(epoch, last.seq, last.fact.id)
        elif batch.through > self._mark.seq or not self._mark.epoch:
            self._mark = Checkpoint(epoch, batch.through, "")
        if self._mark != self._projection.checkpoint:
            self._wake.set()
        if (fill := self._fill()) > HALF:
            self._projection.awaited.set()
        if fill > 1:
            self._drained.clear()
            await self._drained.wait()

    def _pass_over(self, record: Record, fact: Unknown) -> None:
        """Count what can't be read, and say so once for each type."""
        kind = subjects.parse(record.subject).type
        metrics.UNKNOWN.labels(kind).inc()
        if kind not in self._passed:
            self._passed[kind] = None
            log.warning("fact_not_readable", subject=record.subject, seq=record.seq, error=fact.why)

    async def write(self) -> None:
        """Write what has been applied, until stopped."""
        while not self._stopping:
            await self._wake.wait()
            await self._gather()
            self._wake.clear()
            await self.flush()

    def _fill(self) -> float:
        """How much is unwritten, of the most that may be."""
        return max(len(self._unwritten) / MOST_WAITING, self._bytes / MOST_BYTES)

    async def _gather(self) -> None:
        """Let facts come together for one transaction, unless somebody waits for the rows."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._gather_s):
                await self._projection.awaited.wait()
        self._projection.awaited.clear()

    def stop(self) -> None:
        """Let `write` end after what it has begun."""
        self._stopping = True
        self._wake.set()
        self._projection.awaited.set()

    async def flush(self) -> None:
        """Write everything taken so far in one transaction."""
        records, self._unwritten, self._bytes = self._unwritten, [], 0
        mark = self._mark
        if mark != self._projection.checkpoint:
            changes = [*self._apply(records)] if records else []
            news = self._passed.keys() - self._projection.passed_over
            if news:
                changes.append(Change(_PASS_OVER, [(kind, words()) for kind in news]))
            await self._projection.commit(merge(changes), mark)
            self._projection.passed_over |= news
        self._drained.set()


def merge(changes: Sequence[Change]) -> list[Change]:
    """Join neighbours that run the same statement: each statement costs a trip to the thread."""
    merged: list[tuple[str, list[Sequence[object]]]] = []
    for sql, rows in changes:
        if merged and merged[-1][0] == sql:
            merged[-1][1].extend(rows)
        else:
            merged.append((sql, list(rows)))
    return [Change(sql, rows) for sql, rows in merged]


async def project(
    log_: Log,
    projection: Projection,
    filters: Sequence[str],
    apply: Apply,
    *,
    on_batch: OnBatch | None = None,
    on_reset: Callable[[], None] | None = None,
    gather_s: float = GATHER_S,
) -> None:
    """Keep the projection in step with the log, for ever.

    `on_batch` gets each batch as it comes; `apply` turns records, all of them seen by `on_batch`
    before, into changes of rows. When the log turns out to be another one, or the file damaged,
    `on_reset` is called (drop what you hold in memory) and everything is built anew. Records that
    can't be read come as `Unknown`, are counted here, and their types stand in `passed_over`.
    `gather_s` is how long rows wait for others when nobody waits for them.
    """
    while True:
        try:
            pump = Pump(projection, apply, on_batch, gather_s)
            await _follow(log_, projection, filters, pump)
        except (LogMismatch, ViewUnfit) as error:
            log.warning("projection_rebuilt", path=str(projection._path), error=str(error))
            await projection.reset()
            if on_reset:
                on_reset()


async def _follow(log_: Log, projection: Projection, filters: Sequence[str], pump: Pump) -> None:
    feeding = asyncio.create_task(_feed(log_, projection.checkpoint, filters, pump))
    writing = asyncio.create_task(pump.write())
    try:
        await asyncio.wait((feeding, writing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        feeding.cancel()
        await asyncio.wait((feeding,))
        pump.stop()
        await writing
    feeding.result()


async def _feed(log_: Log, after: Checkpoint, filters: Sequence[str], pump: Pump) -> None:
    async with contextlib.aclosing(log_.follow(filters, after)) as batches:
        async for batch in batches:
            await pump.take(batch, log_.epoch)
