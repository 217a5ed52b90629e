"""The table of results: one row per task that left something behind.

Rows are made from facts alone, so a rebuilt file equals the old one.
"""

from __future__ import annotations

import msgspec

from contracts.facts import JobDone, Record, ResultDeleted, ResultStored
from services.projection import Change, Projection
from services.results import domain
from services.results.domain import Kept, ListRequest, Page

VERSION = 1
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS results (
        task TEXT, user TEXT, kind TEXT, media_type TEXT, size INTEGER, sha256 TEXT, uri TEXT,
        created REAL, seq INTEGER, host TEXT, attempt INTEGER, deleted TEXT,
        PRIMARY KEY (user, task))""",
    "CREATE INDEX IF NOT EXISTS results_newest ON results (user, seq)",
)
_COLUMNS = "task, user, kind, media_type, size, sha256, uri, created, seq, host, attempt, deleted"
_ADD = f"REPLACE INTO results ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_MOVE = (
    "UPDATE results SET kind = ?, media_type = ?, size = ?, sha256 = ?, uri = ?"
    " WHERE user = ? AND task = ?"
)
_DELETE = "UPDATE results SET deleted = ? WHERE user = ? AND task = ?"
_GET = f"SELECT {_COLUMNS} FROM results WHERE user = ? AND task = ?"
_PAGE = f"SELECT {_COLUMNS} FROM results WHERE user = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
_END = 2**63 - 1


def apply(records: list[Record]) -> list[Change]:
    """Turn facts into statements, in the order of the log."""
    return [change for record in records if (change := _change(record)) is not None]


async def get(projection: Projection, user: str, task: str) -> Kept | None:
    """The description of one result, None if the task left none."""
    rows = await projection.query(_GET, (user, task))
    return _kept(rows[0]) if rows else None


async def page(projection: Projection, request: ListRequest) -> Page:
    """Some of a user's results, newest first."""
    below = _END if request.cursor is None else request.cursor
    rows = await projection.query(_PAGE, (request.user, below, request.limit + 1))
    kept = tuple(_kept(row) for row in rows[: request.limit])
    return Page(kept, kept[-1].seq if len(rows) > request.limit else None)


def _change(record: Record) -> Change | None:
    match record.fact:
        case JobDone() as fact:
            kept = domain.begin(record, fact)
            return None if kept is None else Change(_ADD, [msgspec.structs.astuple(kept)])
        case ResultStored() as fact:
            return Change(_MOVE, [(*domain.moved(fact), fact.user, fact.task)])
        case ResultDeleted() as fact:
            return Change(_DELETE, [(domain.why_deleted(fact), fact.user, fact.task)])
        case _:
            return None


def _kept(row: tuple[object, ...]) -> Kept:
    return msgspec.convert(dict(zip(_COLUMNS.split(", "), row, strict=True)), Kept)
