"""From the filters of a list to SQL. Pure.

What an index can find is found by it, newest first: the `keys`. The `rest` is looked at task by
task, of a bounded number of them at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from contracts.status import OVER, Status
from services.gateway.lookup import SPAN_S
from services.gateway.rows import Query

COLUMNS = (
    "id, user, type, priority, status, tasks.created_seq, created_at, seq, updated_at, done_at,"
    " attempt, host, cancel_requested, error, asked_by, project, question, tags, again, batch"
)
END = 2**63 - 1
"""SQLite's greatest whole number."""
SET_BACK_S = 86_400.0
_SPARSE = {name: f"{name} != '' AND {{}} = ?" for name in ("project", "host", "batch")}
"""Their indexes hold only what has one."""
_HAS_TAG = (
    "EXISTS (SELECT 1 FROM tags WHERE tags.user = tasks.user AND tags.id = tasks.id AND tag = ?)"
)
_SPANS = (
    "SELECT (SELECT min(first) FROM times WHERE span >= ?),"
    " (SELECT max(last) FROM times WHERE span <= ?)"
)

Sql = tuple[str, tuple[object, ...]]


class Range(NamedTuple):
    """Sequences between which the tasks that are wanted were created."""

    first: int = 0
    end: int = END
    """The first one behind it."""


class Selection(NamedTuple):
    """How the tasks of a list are found."""

    keys: str
    """SELECTs of (created_seq, user, id)."""
    values: tuple[object, ...]
    rest: str
    """What is left to ask of each of them; empty: nothing."""
    rest_values: tuple[object, ...]

    def page(self, limit: int, offset: int = 0) -> Sql:
        """The SELECT of a page where nothing is left to ask: it reads no more than that."""
        return (
            f"SELECT {COLUMNS} FROM ({self.keys} ORDER BY created_seq DESC LIMIT ? OFFSET ?)"
            " AS page CROSS JOIN tasks USING (user, id)",
            (*self.values, limit, offset),
        )

    def looked(self, looked: int, limit: int) -> Sql:
        """The SELECT of those among the newest `looked` that fit."""
        return (
            f"SELECT {COLUMNS} FROM ({self.keys} ORDER BY created_seq DESC LIMIT ?) AS page"
            f" CROSS JOIN tasks USING (user, id) WHERE {self.rest}"
            " ORDER BY page.created_seq DESC LIMIT ?",
            (*self.values, looked, *self.rest_values, limit),
        )

    def last(self, looked: int) -> Sql:
        """The SELECT of the sequence of the last of them; no row: there are not so many."""
        text = (
            f"SELECT created_seq FROM ({self.keys} ORDER BY created_seq DESC LIMIT 1 OFFSET ?)"
            " AS page"
        )
        return text, (*self.values, looked - 1)

    def counted(self, looked: int) -> Sql:
        """The SELECT of how many of the newest `looked` have which status."""
        rest = f" WHERE {self.rest}" if self.rest else ""
        return (
            f"SELECT status, count(*) FROM ({self.keys} ORDER BY created_seq DESC LIMIT ?) AS page"
            f" CROSS JOIN tasks USING (user, id){rest} GROUP BY status",
            (*self.values, looked, *self.rest_values),
        )


def statuses(query: Query) -> list[Status]:
    """Those that the tasks may have; empty: there can be none."""
    over, status = query.over, query.status
    return [one for one in Status if over in (None, one in OVER) and (not status or one in status)]


def spans(query: Query) -> Sql | None:
    """The SELECT of the first and the last sequence that tasks created then can have; None: at any
    time. Who has ended by some time was created by then, by a clock that is not set back for long.
    """
    ended = None if query.ended_before is None else query.ended_before + SET_BACK_S
    ends = [one for one in (query.created_before, ended) if one is not None]
    if query.created_after is None and not ends:
        return None
    first = 0 if query.created_after is None else max(0, int(query.created_after // SPAN_S))
    last = max(0, int(min(ends) // SPAN_S)) if ends else END
    return _SPANS, (first, last)


def select(query: Query, wanted: Sequence[Status], within: Range) -> Selection:
    """How the tasks are found that have one of these statuses."""
    asked = {name: getattr(query, name) for name in ("user", "project", "type", "host", "batch")}
    tag = min(query.tags, key=lambda one: "=" not in one, default=None)
    by = _index(query, tag)
    where = [(_SPARSE.get(name, "{} = ?").format(name), asked.pop(name)) for name in by.names]
    where += [("tag = ?", tag)] if by.table == "tags" else []
    rest = [(f"{name} = ?", value) for name, value in asked.items()]
    rest += [(_HAS_TAG, one) for one in query.tags if by.table != "tags" or one != tag]
    rest += _looked_at(query)
    end = within.end if query.cursor is None else min(within.end, query.cursor)
    where += [("created_seq < ?", end), ("created_seq >= ?", within.first or None)]
    text, values = _joined(where)
    one = f"SELECT created_seq, user, id FROM {by.table} WHERE {text}"
    left, left_values = _joined(rest)
    if by.each:
        keys = " UNION ALL ".join([f"{one} AND status = ?"] * len(wanted))
        values = tuple(value for status in wanted for value in (*values, status.value))
        return Selection(keys, values, left, left_values)
    if len(wanted) < len(Status):
        marks = f"status IN ({', '.join('?' * len(wanted))})"
        left = f"{left} AND {marks}" if left else marks
        left_values += tuple(status.value for status in wanted)
    return Selection(one, values, left, left_values)


class _Index(NamedTuple):
    """Where the keys are read."""

    table: str
    names: tuple[str, ...]
    """What is asked for there."""
    each: bool
    """It has each status by itself, one after the other."""


def _index(query: Query, tag: str | None) -> _Index:
    owner = "project" if query.user is None else "user"
    if query.batch is not None:
        return _Index("tasks", (owner, "batch"), each=False)
    if tag is not None:
        return _Index("tags", (owner,), each=False)
    if query.host is not None:
        return _Index("tasks", (owner, "host"), each=True)
    names = ("project", "user", "type")
    return _Index("tasks", tuple(n for n in names if getattr(query, n) is not None), each=True)


def _looked_at(query: Query) -> list[tuple[str, object]]:
    """What no index tells."""
    text = None if query.text is None else query.text.lower()
    return [
        # A line break can stand in neither, and a text that has one in it is nowhere.
        ("instr(lower(type || char(10) || id), ?) > 0", text),
        ("created_at >= ?", query.created_after),
        ("created_at < ?", query.created_before),
        ("done_at >= ?", query.ended_after),
        ("done_at < ?", query.ended_before),
        ("done_at - created_at >= ?", query.longer_s),
        ("done_at - created_at < ?", query.shorter_s),
    ]


def _joined(conditions: Sequence[tuple[str, object]]) -> Sql:
    """Those of which something is asked."""
    given = [(text, value) for text, value in conditions if value is not None]
    return " AND ".join(text for text, _ in given), tuple(value for _, value in given)
