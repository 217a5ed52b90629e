"""One SQLite file with one writer, how it is now, and what is done when it can't be used."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import aiosqlite
import msgspec
import structlog

from services.log import marks, sqlite
from services.log.ailing import ViewTroubles
from services.log.damage import AGAIN_S, ViewError, ViewFile, ViewStale, ViewUnfit, told
from services.log.port import START, Checkpoint
from services.process.backoff import delay
from services.process.troubles import ProcessTroubles

READ_S = 10.0
"""How long a query may take, with those before it."""
RETRY_S = (0.1, 2.0)
"""First and longest wait before a view that could not be used is tried again."""
LOOK_S = 5.0
"""Between two looks whether a damaged view may be built anew."""
NOT_DECODED = (msgspec.MsgspecError, ValueError, KeyError, TypeError, sqlite3.OperationalError)
"""What reading a damaged row raises; the last of them where SQL itself looks into JSON."""

log = structlog.get_logger()

Load = Callable[[], Awaitable[None]]
Restore = Callable[[], Awaitable[bool]]
"""Puts a copy of the file where there is none; True if it did. The log proves it, as any file."""
P = ParamSpec("P")
R = TypeVar("R")


class Change(NamedTuple):
    """One statement and the rows it is run for."""

    sql: str
    rows: Sequence[Sequence[object]]


def view_path(data: Path, instance: str) -> Path:
    """Where an instance keeps its view: files in this folder may be deleted while it is down."""
    return data / "views" / f"{instance}.sqlite"


class Projection:
    """One SQLite file with one writer; `services.log.projection.project` opens and fills it."""

    def __init__(
        self,
        path: Path,
        schema: Sequence[str],
        version: int,
        troubles: ProcessTroubles | None = None,
        restore: Restore | None = None,
    ) -> None:
        """`troubles` are told what is wrong with the file; `restore` puts a copy where none is."""
        self.path = path
        self._file = ViewFile(path)
        self._schema = schema
        self._version = version
        self._troubles = ViewTroubles(troubles)
        self._restore = restore
        self._writer: aiosqlite.Connection
        self._reader: aiosqlite.Connection
        self._opened = asyncio.Event()
        self._moved = asyncio.Event()
        self.awaited = asyncio.Event()
        """Set when somebody waits for rows that can be written now, or many are to be: no delay
        then."""
        self._taken = 0
        self._wanted = math.inf
        """The lowest sequence that somebody waits for."""
        self.checkpoint = START
        self.passed_over: set[str] = set()
        """Types of facts of which some could not be read: the rows don't have what they say."""
        self.wrong: ViewError | ViewUnfit | None = None
        """Why the rows can't be used now, or lack what is new."""
        self.damage: ViewUnfit | None = None
        """What was found in the file that is in use."""
        self.spoiled = asyncio.Event()
        """Set with `damage`."""

    @classmethod
    async def open(cls, path: Path, schema: Sequence[str], version: int) -> Projection:
        """Open or create the file at once. Raises ViewError."""
        self = cls(path, schema, version)
        try:
            await self.use()
        except ViewUnfit as error:
            self._remove(error)
            await self.use()
        return self

    @property
    def position(self) -> int:
        """Sequence through which the rows are complete."""
        return self.checkpoint.seq

    async def use(self) -> None:
        """Open the file unless it is open. Raises ViewError, ViewUnfit."""
        if "_reader" in self.__dict__:
            return
        self._file.make_folder()
        try:
            with told():
                await self._open_writer()
                self._reader = await sqlite.open_reader(self.path)
            self._opened.set()
            self._has_moved()
        except BaseException:
            await self.close()
            raise

    async def ready(self, load: Load | None, wrong: Exception | None) -> None:
        """Have the file open and loaded, for as long as that takes. Raises ViewUnfit.

        `wrong`: why the file that is there is to be built anew. Then only a copy is loaded, and one
        is taken only after damage: of another log or release it would be no better.
        """
        failures, held = 0, wrong is None
        copied = held or _damaged(wrong)
        while True:
            try:
                if wrong is not None:
                    await self._clear(wrong)
                    wrong = None
                if copied and self._restore is not None:
                    held |= await self._restore()
                await self.use()
                if load is not None and held:
                    with self.reading(), told():
                        await load()
            except ViewError as error:
                failures += 1
                self._suffers(error)
                # What was opened while it could only be read can't be written later.
                await self.close()
                await asyncio.sleep(delay(failures, *RETRY_S, random.random()))
            else:
                self._works()
                return

    async def commit(self, changes: Sequence[Change], checkpoint: Checkpoint) -> None:
        """Apply changes and move the checkpoint in one transaction. Raises ViewError, ViewUnfit."""
        try:
            with told():
                for change in changes:
                    if change.rows:
                        await self._writer.executemany(change.sql, change.rows)
                await marks.write(self._writer, self._version, checkpoint)
                await self._writer.commit()
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                await self._writer.rollback()
            raise
        self.checkpoint = checkpoint
        self._has_moved()

    async def keep(
        self, changes: Sequence[Change], checkpoint: Checkpoint, stopping: asyncio.Event
    ) -> None:
        """`commit`, for as long as it takes; from `stopping` on once more. Raises ViewUnfit.

        What is given up then, the next start reads from the log again.
        """
        failures, lasting = 0, False
        while True:
            try:
                if lasting or "_writer" not in self.__dict__:
                    await self._reopen()
                await self.commit(changes, checkpoint)
            except ViewError as error:
                failures, lasting = failures + 1, error.lasting
                self._suffers(error)
            else:
                if self.wrong is not None:
                    self._works()
                return
            if stopping.is_set():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay(failures, *RETRY_S, random.random())):
                    await stopping.wait()

    async def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a SELECT on the reading connection; it sees committed rows only.

        Raises ViewError, ViewUnfit: both are an answer to whoever asks.
        """
        reader = None
        try:
            with told():
                async with asyncio.timeout(READ_S):
                    if self.wrong is None:
                        await self._opened.wait()
                    if (reader := self.__dict__.get("_reader")) is None:
                        raise self._still() or ViewError("they are not open")
                    # In one step: a query that is half read would hold all others at what it saw.
                    return [tuple(row) for row in await reader.execute_fetchall(sql, params)]
        except TimeoutError:
            raise self._still() or ViewError(f"no answer within {READ_S:g} s") from None
        except ViewUnfit as error:
            if not error.sure and error.__cause__ is not None:
                raise error.__cause__ from None
            self._spoil(error, reader)
            raise
        except (ValueError, sqlite3.ProgrammingError):
            if self.__dict__.get("_reader") is reader:
                raise
            raise ViewError("they were just closed") from None

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """A row that can't be decoded is damage. Raises ViewUnfit."""
        reader = self.__dict__.get("_reader")
        try:
            yield
        except NOT_DECODED as error:
            why = type(error).__name__
            log.warning("row_not_readable", path=str(self.path), error=why)
            unfit = ViewUnfit("a row can't be read")
            self._spoil(unfit, reader)
            raise unfit from error

    def taken(self, seq: int) -> None:
        """The facts up to there are at hand, to be written when somebody waits for their rows."""
        self._taken = seq
        if self._wanted <= seq:
            self.awaited.set()

    async def reached(self, seq: int, timeout_s: float) -> bool:
        """Wait until the rows are complete through `seq`; False after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.checkpoint.seq < seq:
                    self._wanted = min(self._wanted, seq)
                    self.taken(self._taken)
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def shows(self, seq: int, timeout_s: float) -> None:
        """`reached`, for whoever is to see rows. Raises ViewError, ViewUnfit when something is
        wrong: rows that stand still are no answer."""
        if not await self.reached(seq, timeout_s) and (wrong := self._still()) is not None:
            raise wrong

    def caught_up(self) -> None:
        """The log has been read to its end: after damage all is as it was."""
        if isinstance(self.wrong, ViewUnfit):
            self.wrong = None
        self._troubles.whole()

    async def close(self) -> None:
        """Close the file, if it is open."""
        self._opened.clear()
        names = [name for name in ("_reader", "_writer") if name in self.__dict__]
        await sqlite.close(*(self.__dict__.pop(name) for name in names))

    async def _open_writer(self) -> None:
        self._writer = await sqlite.open_writer(self.path)
        checkpoint, self.passed_over = await marks.read(self._writer, self._version)
        for statement in self._schema:
            await self._writer.execute(statement)
        self.checkpoint = checkpoint or START
        if checkpoint is None:
            await marks.write(self._writer, self._version, START)
        await self._writer.commit()

    async def _reopen(self) -> None:
        """Open the same file again; those who read go on. Raises ViewError, ViewUnfit."""
        before = self.checkpoint
        with told():
            if writer := self.__dict__.pop("_writer", None):
                await writer.close()
            await self._open_writer()
            if self.checkpoint != before:
                raise ViewStale("the file is another one")
            old, self._reader = self._reader, await sqlite.open_reader(self.path)
            await old.close()

    async def _clear(self, wrong: Exception) -> None:
        """Have no file; one that is damaged is kept aside. Raises ViewError."""
        await self.close()
        self.checkpoint, self.damage = START, None
        self.passed_over.clear()
        self.spoiled.clear()
        if not _damaged(wrong):
            self._remove(wrong)
            return
        assert isinstance(wrong, ViewUnfit)
        self.wrong = wrong
        await self._due(wrong)
        self._file.put_aside()
        path, aside = str(self.path), str(self._file.aside)
        log.error("projection_rebuilt", path=path, kept=aside, error=wrong.why)
        self._troubles.rebuilt()

    async def _due(self, wrong: ViewUnfit) -> None:
        """Wait until it may be built anew: who begins again and again only hides a broken disk."""
        while 0 < (at := self._file.again_at()) - time.time() <= AGAIN_S:
            self._troubles.waits(wrong.why, at)
            await asyncio.sleep(min(LOOK_S, at - time.time()))

    def _remove(self, wrong: Exception) -> None:
        error = getattr(wrong, "why", str(wrong))
        log.warning("projection_rebuilt", path=str(self.path), error=error)
        self._file.remove()

    def _spoil(self, error: ViewUnfit, reader: object) -> None:
        """Whoever fills the rows builds them anew, unless that has been done since they were
        read."""
        if reader is not None and self.__dict__.get("_reader") is reader:
            self.damage = self.wrong = error
            self.spoiled.set()

    def _still(self) -> ViewError | ViewUnfit | None:
        """`wrong`, to be raised: one that is raised again and again would grow."""
        return None if self.wrong is None else self.wrong.again()

    def _suffers(self, error: ViewError) -> None:
        if self.wrong is None or str(self.wrong) != str(error):
            log.warning("view_not_usable", path=str(self.path), error=error.why)
        self.wrong = error
        self._troubles.suffers(error)

    def _works(self) -> None:
        if isinstance(self.wrong, ViewError):
            self.wrong = None
        self._troubles.usable()

    def _has_moved(self) -> None:
        self._wanted = math.inf
        self._moved.set()
        self._moved = asyncio.Event()


def reads(
    read: Callable[Concatenate[Projection, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Projection, P], Coroutine[Any, Any, R]]:
    """For a function that makes something of rows: see `Projection.reading`."""

    @functools.wraps(read)
    async def guarded(projection: Projection, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with projection.reading():
            return await read(projection, *args, **kwargs)

    return guarded


def _damaged(wrong: Exception | None) -> bool:
    """Whether the file was good once, and is of this log and release."""
    return isinstance(wrong, ViewUnfit) and not isinstance(wrong, ViewStale)
