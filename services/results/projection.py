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
from contracts.result import Kept, Pointer
from services.log.projection import Change, Projection, reads
from services.results import domain
from services.results.domain import DAY_S, Move

_COUNT = """INSERT INTO sums VALUES ({0}.user, CAST({0}.created / {2} AS INTEGER), {0}.place,
    {0}.host, {0}.gone, {1}1, {1}{0}.size) ON CONFLICT (user, day, place, host, gone)
    DO UPDATE SET count = count + excluded.count, size = size + excluded.size;"""
_ONE_MORE, _ONE_LESS = _COUNT.format("NEW", "+", DAY_S), _COUNT.format("OLD", "-", DAY_S)
_TRIGGERS = tuple(
    f"CREATE TRIGGER IF NOT EXISTS results_{name} AFTER {name} ON results BEGIN {work} END"
    for name, work in (
        ("insert", _ONE_MORE),
        ("delete", _ONE_LESS),
        ("update", _ONE_LESS + _ONE_MORE),
    )
)
"""Keep the sums of a day, so that nobody has to count."""
VERSION = 5
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS results (
        task TEXT, user TEXT, kind TEXT, media_type TEXT, size INTEGER, sha256 TEXT, uri TEXT,
        created REAL, seq INTEGER, host TEXT, attempt INTEGER, deleted TEXT, place TEXT,
        deleted_at REAL, gone INTEGER, PRIMARY KEY (user, task))""",
    "CREATE INDEX IF NOT EXISTS results_seq ON results (user, seq)",
    # What `pages` asks for: a user, perhaps a host, and each place and state for itself.
    "CREATE INDEX IF NOT EXISTS results_user ON results (user, place, gone, created, seq)",
    "CREATE INDEX IF NOT EXISTS results_host ON results (user, host, place, gone, created, seq)",
    "CREATE INDEX IF NOT EXISTS results_uri ON results (uri) WHERE uri != ''",
    """CREATE INDEX IF NOT EXISTS results_old ON results (place, deleted, created)
        WHERE place != 'inline'""",
    "CREATE TABLE IF NOT EXISTS prefers (host TEXT PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS moves (
        user TEXT, task TEXT, seq INTEGER, created REAL, uri TEXT, sha256 TEXT, size INTEGER,
        media_type TEXT, host TEXT, attempt INTEGER, PRIMARY KEY (user, task))""",
    """CREATE TABLE IF NOT EXISTS sums (
        user TEXT, day INTEGER, place TEXT, host TEXT, gone INTEGER, count INTEGER, size INTEGER,
        PRIMARY KEY (user, day, place, host, gone)) WITHOUT ROWID""",
    *_TRIGGERS,
)
COLUMNS = "task, user, kind, media_type, size, sha256, uri, created, seq, host, attempt, deleted"
# No REPLACE: what it takes away, the triggers would not see.
_ADD = f"""INSERT INTO results ({COLUMNS}, place, deleted_at, gone)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0) ON CONFLICT (user, task) DO UPDATE SET
    kind = excluded.kind, media_type = excluded.media_type, size = excluded.size,
    sha256 = excluded.sha256, uri = excluded.uri, created = excluded.created, seq = excluded.seq,
    host = excluded.host, attempt = excluded.attempt, deleted = '', place = excluded.place,
    deleted_at = 0, gone = 0"""
_MOVE = (
    "UPDATE results SET kind = ?, media_type = ?, size = ?, sha256 = ?, uri = ?, place = ?"
    " WHERE user = ? AND task = ?"
)
_DELETE = "UPDATE results SET deleted = ?, deleted_at = ?, gone = 1 WHERE user = ? AND task = ?"
_DELETE_WITH = (
    "UPDATE results SET deleted = 'deleted with the result of ' || ?, deleted_at = ?, gone = 1"
    " WHERE user = ? AND task = ? AND EXISTS"
    " (SELECT 1 FROM results WHERE user = ? AND task = ? AND deleted != '')"
)
"""A result that is given again had gone in the moment in which that was decided."""
_OUTDATE = "DELETE FROM results WHERE user = ? AND task = ? AND attempt < ?"
"""An answer that was an error is gone with the next attempt that ends."""
_GET = f"SELECT {COLUMNS} FROM results WHERE user = ? AND task = ?"
_WAIT = "REPLACE INTO moves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SETTLE = "DELETE FROM moves WHERE user = ? AND task = ?"


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
        if isinstance(fact, JobDone) and fact.from_:
            own, earlier = (kept.user, kept.task), (kept.user, fact.from_)
            changes.append(Change(_DELETE_WITH, [(fact.from_, record.at, *own, *earlier)]))
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


@reads
async def get(projection: Projection, user: str, task: str) -> Kept | None:
    """The description of one result, None if the task left none."""
    rows = await projection.query(_GET, (user, task))
    return kept_of(rows[0]) if rows else None


@reads
async def waiting_users(projection: Projection, most: int) -> list[str]:
    """Users with results that are to move."""
    found = await projection.query("SELECT DISTINCT user FROM moves LIMIT ?", (most,))
    return [user for (user,) in found]


@reads
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


@reads
async def count_waiting(projection: Projection) -> int:
    """How many results are to move."""
    ((count,),) = await projection.query("SELECT count(*) FROM moves")
    return int(count)


@reads
async def outlived(projection: Projection, before: float, most: int) -> list[Kept]:
    """Results behind pointers that were made before this time and are there still."""
    rows = await projection.query(
        f"SELECT {COLUMNS} FROM results WHERE place != 'inline'"
        " AND place IN ('object_store', 'dataset') AND deleted = '' AND created < ?"
        " ORDER BY created LIMIT ?",
        (before, most),
    )
    return [kept_of(row) for row in rows]


@reads
async def referred(projection: Projection, uri: str) -> bool:
    """Whether a living result lies at this uri."""
    found = await projection.query(
        "SELECT 1 FROM results WHERE uri != '' AND uri = ? AND deleted = '' LIMIT 1", (uri,)
    )
    return bool(found)


@reads
async def shared(projection: Projection, kept: Kept) -> bool:
    """Whether a living result of the user in a Dataset has the same bytes."""
    found = await projection.query(
        "SELECT 1 FROM results WHERE user = ? AND place = 'dataset' AND deleted = ''"
        " AND sha256 = ? LIMIT 1",
        (kept.user, kept.sha256),
    )
    return bool(found)


@reads
async def erased(projection: Projection, since: float, after: int, most: int) -> list[Kept]:
    """Results in Datasets that were deleted since then, and whose bytes no living one shares.

    A page of them, in the order of their sequences, from behind `after` on.
    """
    rows = await projection.query(
        f"SELECT {COLUMNS} FROM results AS gone WHERE place != 'inline' AND place = 'dataset'"
        " AND deleted != '' AND deleted_at >= ?"
        " AND NOT EXISTS (SELECT 1 FROM results WHERE user = gone.user"
        " AND place = 'dataset' AND deleted = '' AND sha256 = gone.sha256)"
        " AND seq > ? ORDER BY seq LIMIT ?",
        (since, after, most),
    )
    return [kept_of(row) for row in rows]


def kept_of(row: tuple[object, ...]) -> Kept:
    """Read the `COLUMNS` of a row."""
    return msgspec.convert(dict(zip(COLUMNS.split(", "), row, strict=True)), Kept)
