"""The tables of results: one row per task that left something, and one for each that is to move.

Rows are made from facts alone, so a rebuilt file equals the old one.
"""

from __future__ import annotations

import msgspec

from contracts.facts import (
    JobDone,
    JobFailed,
    McpRegistered,
    McpRemoved,
    Record,
    ResultDeleted,
    ResultStored,
)
from contracts.result import Kept, Pointer, ResultListRequest, ResultPage
from services.log.projection import Change, Projection
from services.results import domain
from services.results.domain import Move

VERSION = 3
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS results (
        task TEXT, user TEXT, kind TEXT, media_type TEXT, size INTEGER, sha256 TEXT, uri TEXT,
        created REAL, seq INTEGER, host TEXT, attempt INTEGER, deleted TEXT, place TEXT,
        deleted_at REAL, PRIMARY KEY (user, task))""",
    "CREATE INDEX IF NOT EXISTS results_newest ON results (user, seq)",
    "CREATE INDEX IF NOT EXISTS results_uri ON results (uri)",
    "CREATE INDEX IF NOT EXISTS results_old ON results (place, deleted, created)",
    "CREATE TABLE IF NOT EXISTS prefers (host TEXT PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS moves (
        user TEXT, task TEXT, seq INTEGER, created REAL, uri TEXT, sha256 TEXT, size INTEGER,
        media_type TEXT, host TEXT, attempt INTEGER, PRIMARY KEY (user, task))""",
)
_COLUMNS = "task, user, kind, media_type, size, sha256, uri, created, seq, host, attempt, deleted"
_ADD = (
    f"REPLACE INTO results ({_COLUMNS}, place, deleted_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
)
_MOVE = (
    "UPDATE results SET kind = ?, media_type = ?, size = ?, sha256 = ?, uri = ?, place = ?"
    " WHERE user = ? AND task = ?"
)
_DELETE = "UPDATE results SET deleted = ?, deleted_at = ? WHERE user = ? AND task = ?"
_OUTDATE = "DELETE FROM results WHERE user = ? AND task = ? AND attempt < ?"
"""An answer that was an error is gone with the next attempt that ends."""
_GET = f"SELECT {_COLUMNS} FROM results WHERE user = ? AND task = ?"
_WAIT = "REPLACE INTO moves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SETTLE = "DELETE FROM moves WHERE user = ? AND task = ?"
_END = 2**63 - 1


class Rows:
    """From facts to rows; remembers which hosts prefer pointers, as of the last fact."""

    def __init__(self) -> None:
        self._prefers: set[str] = set()

    async def restore(self, projection: Projection) -> None:
        """Take over what the file holds."""
        self._prefers = {host for (host,) in await projection.query("SELECT host FROM prefers")}

    def reset(self) -> None:
        """The log is another one."""
        self._prefers.clear()

    def apply(self, records: list[Record]) -> list[Change]:
        """Turn facts into statements, in the order of the log."""
        return [change for record in records for change in self._changes(record)]

    def _changes(self, record: Record) -> list[Change]:
        match record.fact:
            case JobDone() | JobFailed() as fact:
                return self._ended(record, fact)
            case ResultStored() as fact:
                key = (fact.user, fact.task)
                return [Change(_MOVE, [(*domain.moved(fact), *key)]), Change(_SETTLE, [key])]
            case ResultDeleted() as fact:
                key = (fact.user, fact.task)
                why = domain.why_deleted(fact)
                return [Change(_DELETE, [(why, record.at, *key)]), Change(_SETTLE, [key])]
            case McpRegistered() as fact:
                return self._prefer(fact.host, prefers=fact.spec.flags.result_pointer_preferred)
            case McpRemoved() as fact:
                return self._prefer(fact.host, prefers=False)
            case _:
                return []

    def _ended(self, record: Record, fact: JobDone | JobFailed) -> list[Change]:
        kept = domain.begin(record, fact)
        if kept is None:
            # Of the attempt that ended so itself there may be an answer.
            late = fact.attempt > 1
            return [Change(_OUTDATE, [(fact.user, fact.task, fact.attempt)])] if late else []
        row = (*msgspec.structs.astuple(kept)[:12], domain.place_of(kept.uri))
        changes = [Change(_ADD, [row])]
        if isinstance(fact, JobDone) and domain.moves(fact, self._prefers):
            what = (kept.uri, kept.sha256, kept.size, kept.media_type, kept.host, kept.attempt)
            changes.append(Change(_WAIT, [(kept.user, kept.task, kept.seq, kept.created, *what)]))
        return changes

    def _prefer(self, host: str, *, prefers: bool) -> list[Change]:
        if prefers == (host in self._prefers):
            return []
        if prefers:
            self._prefers.add(host)
            return [Change("REPLACE INTO prefers VALUES (?)", [(host,)])]
        self._prefers.discard(host)
        return [Change("DELETE FROM prefers WHERE host = ?", [(host,)])]


async def get(projection: Projection, user: str, task: str) -> Kept | None:
    """The description of one result, None if the task left none."""
    rows = await projection.query(_GET, (user, task))
    return _kept(rows[0]) if rows else None


async def page(projection: Projection, request: ResultListRequest) -> ResultPage:
    """Some of a user's results that match, newest first, and how many there are of them."""
    where, values = _filters(request)
    below = _END if request.cursor is None else request.cursor
    rows = await projection.query(
        f"SELECT {_COLUMNS} FROM results WHERE {where} AND seq < ? ORDER BY seq DESC LIMIT ?",
        (*values, below, request.limit + 1),
    )
    ((total, size),) = await projection.query(
        f"SELECT count(*), coalesce(sum(size), 0) FROM results WHERE {where}", values
    )
    kept = tuple(_kept(row) for row in rows[: request.limit])
    more = kept[-1].seq if len(rows) > request.limit else None
    return ResultPage(kept, more, total, size)


async def waiting_users(projection: Projection, most: int) -> list[str]:
    """Users with results that are to move."""
    found = await projection.query("SELECT DISTINCT user FROM moves LIMIT ?", (most,))
    return [user for (user,) in found]


async def waiting(projection: Projection, user: str, since: float, most: int) -> list[Move]:
    """What is to move of one user, oldest first, if it was made at this time or later."""
    rows = await projection.query(
        "SELECT user, task, seq, created, uri, sha256, size, media_type, host, attempt FROM moves"
        " WHERE user = ? AND created >= ? ORDER BY seq LIMIT ?",
        (user, since, most),
    )
    return [
        Move(user_, task, seq, created, Pointer(*pointer), host, attempt)
        for user_, task, seq, created, *pointer, host, attempt in rows
    ]


async def count_waiting(projection: Projection) -> int:
    """How many results are to move."""
    ((count,),) = await projection.query("SELECT count(*) FROM moves")
    return int(count)


async def outlived(projection: Projection, before: float, most: int) -> list[Kept]:
    """Results behind pointers that were made before this time and are there still."""
    rows = await projection.query(
        f"SELECT {_COLUMNS} FROM results WHERE place IN ('object_store', 'dataset')"
        " AND deleted = '' AND created < ? ORDER BY created LIMIT ?",
        (before, most),
    )
    return [_kept(row) for row in rows]


async def referred(projection: Projection, uri: str) -> bool:
    """Whether a living result lies at this uri."""
    found = await projection.query(
        "SELECT 1 FROM results WHERE uri = ? AND deleted = '' LIMIT 1", (uri,)
    )
    return bool(found)


async def shared(projection: Projection, kept: Kept) -> bool:
    """Whether a living result of the user in a Dataset has the same bytes."""
    found = await projection.query(
        "SELECT 1 FROM results WHERE user = ? AND place = 'dataset' AND deleted = ''"
        " AND sha256 = ? LIMIT 1",
        (kept.user, kept.sha256),
    )
    return bool(found)


async def erased(projection: Projection, since: float, after: int, most: int) -> list[Kept]:
    """Results in Datasets that were deleted since then, and whose bytes no living one shares.

    A page of them, in the order of their sequences, from behind `after` on.
    """
    rows = await projection.query(
        f"SELECT {_COLUMNS} FROM results AS gone WHERE place = 'dataset' AND deleted != ''"
        " AND deleted_at >= ? AND NOT EXISTS (SELECT 1 FROM results WHERE user = gone.user"
        " AND place = 'dataset' AND deleted = '' AND sha256 = gone.sha256)"
        " AND seq > ? ORDER BY seq LIMIT ?",
        (since, after, most),
    )
    return [_kept(row) for row in rows]


def _filters(request: ResultListRequest) -> tuple[str, tuple[object, ...]]:
    parts: list[tuple[str, *tuple[object, ...]]] = [("user = ?", request.user)]
    if request.kind is not None:
        parts.append(("place = ?", request.kind))
    if request.host is not None:
        # A bare name is one's own host's as well, now and in the log of an earlier release.
        parts.append(("host IN (?, ?)", request.host, f"{request.user}/{request.host}"))
    if request.since is not None:
        parts.append(("created >= ?", request.since))
    if request.until is not None:
        parts.append(("created < ?", request.until))
    if request.deleted is not None:
        parts.append(("(deleted != '') = ?", request.deleted))
    where = " AND ".join(text for text, *_ in parts)
    return where, tuple(value for _, *values in parts for value in values)


def _kept(row: tuple[object, ...]) -> Kept:
    return msgspec.convert(dict(zip(_COLUMNS.split(", "), row, strict=True)), Kept)
