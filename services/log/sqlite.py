"""Connections to the file of a view: none is left open when whoever opens it is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import aiosqlite

from services.process.shielded import to_its_end

BUSY_S = 0.5
"""How long SQLite itself waits for a lock."""
CACHE = 32 * 1024 * 1024
"""Bytes of pages that a writer keeps: with SQLite's 2 MiB a big view is read again as it grows."""
WRITES = ("journal_mode=WAL", "synchronous=NORMAL", f"cache_size=-{CACHE // 1024}")
READS = ("query_only=ON",)


async def open_writer(path: Path) -> aiosqlite.Connection:
    """The one connection that writes; makes the file. Raises sqlite3.Error."""
    return await _open(path, WRITES)


async def open_reader(path: Path) -> aiosqlite.Connection:
    """A connection that sees what has been committed. Raises sqlite3.Error."""
    return await _open(path, READS)


async def close(*connections: aiosqlite.Connection) -> None:
    """Close them all, however they are."""
    await to_its_end(asyncio.create_task(_close(connections)))


async def _close(connections: Sequence[aiosqlite.Connection]) -> None:
    for connection in connections:
        with contextlib.suppress(sqlite3.Error):
            await connection.close()


async def _open(path: Path, pragmas: tuple[str, ...]) -> aiosqlite.Connection:
    # A thread opens the file whether it is waited for or not, and aiosqlite forgets it then.
    opening = asyncio.create_task(_connect(path, pragmas))
    try:
        return await to_its_end(opening)
    except asyncio.CancelledError:
        if opening.exception() is None:
            await close(opening.result())
        raise


async def _connect(path: Path, pragmas: tuple[str, ...]) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, timeout=BUSY_S)
    try:
        for pragma in pragmas:
            await connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        await close(connection)
        raise
    return connection
