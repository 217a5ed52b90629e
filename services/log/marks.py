"""What a view's file says of itself: how far it has come in which log, and what it lacks."""

from __future__ import annotations

import aiosqlite
import msgspec

from contracts.facts import words
from services.log.damage import ViewStale, ViewUnfit
from services.log.port import Checkpoint

CHECKPOINT_SCHEMA = """CREATE TABLE IF NOT EXISTS checkpoint (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER, epoch TEXT, seq INTEGER, fact_id TEXT
)"""
PASSED_SCHEMA = "CREATE TABLE IF NOT EXISTS passed_over (type TEXT PRIMARY KEY, words TEXT)"
"""Types of facts of which some could not be read, and what the release could read that tried."""


async def read(db: aiosqlite.Connection, version: int) -> tuple[Checkpoint | None, set[str]]:
    """The checkpoint, None in a new file, and the types of facts that could not be read.

    Raises ViewStale, ViewUnfit, sqlite3.Error.
    """
    await db.execute(CHECKPOINT_SCHEMA)
    async with db.execute("SELECT version, epoch, seq, fact_id FROM checkpoint") as cursor:
        row = await cursor.fetchone()
    if row and row[0] != version:
        raise ViewStale(f"version {row[0]} of the view, {version} is wanted")
    await db.execute(PASSED_SCHEMA)
    async with db.execute("SELECT type, words FROM passed_over") as cursor:
        passed = [(str(kind), tried) for kind, tried in await cursor.fetchall()]
    if any(tried != words() for _, tried in passed):
        raise ViewStale("it lacks facts that this release may be able to read")
    try:
        checkpoint = msgspec.convert(tuple(row[1:]), Checkpoint) if row else None
    except msgspec.ValidationError as error:
        raise ViewUnfit("its checkpoint can't be read") from error
    return checkpoint, {kind for kind, _ in passed}


async def write(db: aiosqlite.Connection, version: int, checkpoint: Checkpoint) -> None:
    """Say how far the rows are complete. Raises sqlite3.Error."""
    await db.execute("REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?)", (1, version, *checkpoint))
