"""Tables of batches and operations: which there are, and how far they have got.

`rows` is pure; the tasks of an operation stand in the log alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from contracts.facts import OperationFact, Record, TaskCreated
from contracts.operation import (
    Action,
    OperationStarted,
    OperationStepped,
    OperationStopped,
    StepFailure,
)
from contracts.status import OVER, Status
from services.gateway.bulk.views import BatchView, OpenOperation, OperationView, State, TaskEnd
from services.log.projection import Change, Projection, reads

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS batches (
        user TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (user, id)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS batches_user ON batches (user, seq)",
    """CREATE TABLE IF NOT EXISTS operations (
        user TEXT NOT NULL, id TEXT NOT NULL, action TEXT NOT NULL, tags TEXT NOT NULL,
        total INTEGER NOT NULL, parts INTEGER NOT NULL, seq INTEGER NOT NULL, at REAL NOT NULL,
        by TEXT NOT NULL, stepped INTEGER NOT NULL, done INTEGER NOT NULL, failed INTEGER NOT NULL,
        updated_at REAL NOT NULL, stopped INTEGER NOT NULL,
        PRIMARY KEY (user, id)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS operations_user ON operations (user, seq)",
    """CREATE INDEX IF NOT EXISTS operations_open ON operations (seq)
        WHERE stepped < parts AND NOT stopped""",
    """CREATE TABLE IF NOT EXISTS operation_failures (
        user TEXT NOT NULL, id TEXT NOT NULL, k INTEGER NOT NULL, failures TEXT NOT NULL,
        PRIMARY KEY (user, id, k)) WITHOUT ROWID""",
)
MOST_FAILURES = 100
"""Failures of an operation that its view tells one by one."""
MOST_OPEN = 100
"""Operations that are not over, as far as they are looked at together."""

_BATCH = "INSERT OR IGNORE INTO batches VALUES (?, ?, ?, ?)"
_STARTED = """INSERT OR IGNORE INTO operations
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, ?, 0)"""
_STEPPED = """UPDATE operations SET stepped = stepped + 1, done = done + ?, failed = failed + ?,
    updated_at = ? WHERE user = ? AND id = ?"""
_STOPPED = "UPDATE operations SET stopped = 1, updated_at = ? WHERE user = ? AND id = ?"
_FAILED = "INSERT OR REPLACE INTO operation_failures VALUES (?, ?, ?, ?)"
_COLUMNS = (
    "id, user, action, tags, total, parts, seq, at, stepped, done, failed, updated_at, stopped"
)
_END = 2**63 - 1

_tags: msgspec.json.Decoder[dict[str, str]] = msgspec.json.Decoder(dict[str, str])
_failures: msgspec.json.Decoder[tuple[StepFailure, ...]] = msgspec.json.Decoder(
    tuple[StepFailure, ...]
)


def changes(records: Sequence[Record]) -> list[Change]:
    """What facts say of batches, each of which begins with the first of its tasks, and of
    operations."""
    batches: dict[tuple[str, str], tuple[Any, ...]] = {}
    found: list[Change] = []
    for record in records:
        fact = record.fact
        if isinstance(fact, TaskCreated):
            if (id_ := fact.spec.batch) is not None:
                batches.setdefault((fact.user, id_), (fact.user, id_, record.seq, record.at))
        elif isinstance(fact, OperationFact):
            found += rows(record, fact)
    return [Change(_BATCH, list(batches.values())), *found] if batches else found


def rows(record: Record, fact: OperationFact) -> list[Change]:
    """What a fact says of an operation."""
    match fact:
        case OperationStarted(k=1):
            tags = msgspec.json.encode(fact.tags).decode()
            of = (fact.user, fact.operation, str(fact.action), tags, fact.total, fact.parts)
            return [Change(_STARTED, [(*of, record.seq, record.at, fact.by, record.at)])]
        case OperationStarted():
            return []
        case OperationStepped():
            step = (fact.done, fact.failed, record.at, fact.user, fact.operation)
            told = msgspec.json.encode(fact.failures).decode()
            failed = [(fact.user, fact.operation, fact.k, told)] if fact.failures else []
            return [Change(_STEPPED, [step]), Change(_FAILED, failed)]
        case OperationStopped():
            return [Change(_STOPPED, [(record.at, fact.user, fact.operation)])]


@reads
async def operation(projection: Projection, user: str, id_: str) -> OperationView | None:
    """An operation as it is, with the first of its failures."""
    sql = f"SELECT {_COLUMNS} FROM operations WHERE user = ? AND id = ?"
    found = await projection.query(sql, (user, id_))
    if not found:
        return None
    sql = "SELECT failures FROM operation_failures WHERE user = ? AND id = ? ORDER BY k LIMIT ?"
    told = await projection.query(sql, (user, id_, MOST_FAILURES))
    failures = [one for (text,) in told for one in _failures.decode(text)]
    return _view(found[0], tuple(failures[:MOST_FAILURES]))


@reads
async def operations(
    projection: Projection, user: str, limit: int, cursor: int | None
) -> list[OperationView]:
    """A user's operations, the newest first; without their failures."""
    rows = await projection.query(
        f"SELECT {_COLUMNS} FROM operations WHERE user = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
        (user, _END if cursor is None else cursor, limit),
    )
    return [_view(row, ()) for row in rows]


@reads
async def open_operations(projection: Projection) -> list[OpenOperation]:
    """The operations that are not over, the oldest first."""
    rows = await projection.query(
        "SELECT user, id, by, seq, parts, updated_at FROM operations INDEXED BY operations_open"
        " WHERE stepped < parts AND NOT stopped ORDER BY seq LIMIT ?",
        (MOST_OPEN,),
    )
    return [OpenOperation(*row) for row in rows]


@reads
async def open_of(projection: Projection, user: str) -> int:
    """How many operations of a user are not over."""
    sql = """SELECT count(*) FROM operations INDEXED BY operations_open
        WHERE stepped < parts AND NOT stopped AND user = ?"""
    ((count,),) = await projection.query(sql, (user,))
    return int(count)


@reads
async def ends(projection: Projection, user: str, tasks: Sequence[str]) -> dict[str, TaskEnd]:
    """Whether a user's tasks are over; those that are not there are left out."""
    marks = ", ".join("?" * len(tasks))
    rows = await projection.query(
        "SELECT id, done_at IS NOT NULL, cancel_requested, status, tags FROM tasks"
        f" WHERE user = ? AND id IN ({marks})",
        (user, *tasks),
    )
    return {
        id_: TaskEnd(bool(over), bool(asked), status, _tags.decode(tags) if tags else {})
        for id_, over, asked, status, tags in rows
    }


@reads
async def batch(projection: Projection, user: str, id_: str) -> BatchView | None:
    """A batch as it is."""
    found = await projection.query(
        "SELECT id, seq, at FROM batches WHERE user = ? AND id = ?", (user, id_)
    )
    return await _counted(projection, user, found[0]) if found else None


@reads
async def batches(
    projection: Projection, user: str, limit: int, cursor: int | None
) -> list[BatchView]:
    """A user's batches, the newest first."""
    found = await projection.query(
        "SELECT id, seq, at FROM batches WHERE user = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
        (user, _END if cursor is None else cursor, limit),
    )
    return [await _counted(projection, user, row) for row in found]


@reads
async def batch_of(projection: Projection, user: str, id_: str) -> tuple[int | None, list[str]]:
    """The sequence of a batch's first task, None if there is none yet, and the tasks whose ids are
    like those of the batch and that are none of it."""
    found = await projection.query("SELECT seq FROM batches WHERE user = ? AND id = ?", (user, id_))
    rows = await projection.query(
        "SELECT id FROM tasks WHERE user = ? AND id > ? AND id < ? AND batch != ?",
        (user, f"{id_}-", f"{id_}-:", id_),
    )
    return (int(found[0][0]) if found else None), [row[0] for row in rows]


async def _counted(projection: Projection, user: str, row: tuple[Any, ...]) -> BatchView:
    id_, seq, at = row
    found = await projection.query(
        "SELECT status, count(*), max(done_at) FROM tasks"
        " WHERE user = ? AND batch != '' AND batch = ? GROUP BY status",
        (user, id_),
    )
    counts = {Status(status): count for status, count, _ in found}
    over = counts.keys() <= OVER
    ended = max((done for _, _, done in found if done), default=None) if over else None
    return BatchView(id_, sum(counts.values()), counts, at, seq, ended)


def _view(row: tuple[Any, ...], failures: tuple[StepFailure, ...]) -> OperationView:
    id_, user, action, tags, total, parts, seq, at, stepped, done, failed, updated, stopped = row
    state: State = "done" if stepped >= parts else "stopped" if stopped else "running"
    return OperationView(
        id=id_,
        user=user,
        action=Action(action),
        state=state,
        total=total,
        done=done,
        failed=failed,
        created_seq=seq,
        created_at=at,
        updated_at=updated,
        tags=msgspec.json.decode(tags),
        failures=failures,
    )
