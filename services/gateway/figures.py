"""How many tasks were created and ended in each minute, and what failed: counts, kept as they grow.

Of each user and of all together, by minutes for the last hour and by quarters of an hour for a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from contracts.facts import FailureKind, JobDone, JobFailed, Outcome, Record, TaskCreated
from contracts.status import of_outcome
from services.log.projection import Change, Projection, reads

EVERYBODY = ""
"""In the place of a user."""
MINUTE_S = 60
QUARTER_S = 900
KEPT = {MINUTE_S: 90, QUARTER_S: 100}
"""Buckets kept of each size."""
MOST_FAILING = 10
"""Kinds of failures, and hosts, that are told: those that fail most."""
NAME_CHARS = 64
"""Characters kept of a kind of failure."""
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS figures (
        user TEXT NOT NULL, size INTEGER NOT NULL, start INTEGER NOT NULL, what TEXT NOT NULL,
        name TEXT NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (user, size, start, what, name)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS figures_old ON figures (size, start)",
)
_ADD = """INSERT INTO figures VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT
    DO UPDATE SET count = count + excluded.count"""
_FORGET = """DELETE FROM figures WHERE size = ?
    AND start < (SELECT max(start) FROM figures WHERE size = ?) - ?"""
_ENDED = {outcome: str(of_outcome(outcome)) for outcome in Outcome}
_KINDS = frozenset(kind.value for kind in FailureKind)


class Window(NamedTuple):
    """How far back, in buckets of which size."""

    size: int
    buckets: int


WINDOWS = {"hour": Window(MINUTE_S, 60), "day": Window(QUARTER_S, 96)}


class Figures(NamedTuple):
    """What is known of a window."""

    since: float
    counts: dict[int, dict[str, int]]
    """Of each bucket of which there is anything, by its start: `created`, and each outcome."""
    kinds: list[tuple[str, int]]
    """What failed most, of attempts and of tasks that ended without one."""
    hosts: list[tuple[str, int]]
    """Where attempts failed most."""


def changes(records: Sequence[Record]) -> list[Change]:
    """Turn facts into counts. Pure, and however the log is cut."""
    told = Counter[tuple[str, int, str, str]]()
    for record in records:
        for user, what, name in _told(record.fact):
            told[user, int(record.at // MINUTE_S), what, name] += 1
    found = Counter[tuple[str, int, int, str, str]]()
    for (user, minute, what, name), count in told.items():
        for size in KEPT:
            start = minute * MINUTE_S // size * size
            found[user, size, start, what, name] += count
            found[EVERYBODY, size, start, what, name] += count
    if not found:
        return []
    forgotten = [(size, size, size * kept) for size, kept in KEPT.items()]
    return [Change(_ADD, [(*key, n) for key, n in found.items()]), Change(_FORGET, forgotten)]


def _told(fact: Any) -> list[tuple[str, str, str]]:
    """What a fact adds one to: user, what, and its name."""
    match fact:
        case TaskCreated():
            return [(fact.user, "count", "created")]
        case JobFailed(kind=kind) if kind is not FailureKind.INPUT_REQUIRED:
            named = [(fact.user, "kind", kind.value)]
            return [*named, (fact.user, "host", fact.host)] if fact.host else named
        case JobDone():
            told = [(fact.user, "count", _ENDED[fact.outcome])]
            code = fact.error.code[:NAME_CHARS] if fact.error else ""
            if code and fact.outcome is not Outcome.CANCELLED and code not in _KINDS:
                told.append((fact.user, "kind", code))
            return told
    return []


@reads
async def read_figures(
    projection: Projection, user: str | None, window: Window, now: float
) -> Figures:
    """Return what happened up to now, of a user or of all."""
    size, buckets = window
    since = (int(now // size) - buckets + 1) * size
    whose = (EVERYBODY if user is None else user, size, since)
    rows = await projection.query(
        "SELECT start, name, count FROM figures"
        " WHERE user = ? AND size = ? AND start >= ? AND what = 'count'",
        whose,
    )
    counts: dict[int, dict[str, int]] = {}
    for start, name, count in rows:
        counts.setdefault(start, {})[name] = count
    most = [await _most(projection, whose, what) for what in ("kind", "host")]
    return Figures(since, counts, *most)


async def _most(
    projection: Projection, whose: tuple[str, int, int], what: str
) -> list[tuple[str, int]]:
    return await projection.query(
        "SELECT name, sum(count) AS n FROM figures WHERE user = ? AND size = ? AND start >= ?"
        " AND what = ? GROUP BY name ORDER BY n DESC, name LIMIT ?",
        (*whose, what, MOST_FAILING),
    )
