"""From the filters of a list to SQL. Pure.

What an index can find is found by it, newest first: the `keys`. The rest is looked at task by task,
of a bounded number of them at a time: as far as it can in the index, else in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from contracts.status import OVER, Status
from services.gateway.lookup import SPAN_S
from services.gateway.rows import Query

COLUMNS = (
    *("id", "user", "type", "priority", "status", "created_seq", "created_at", "seq"),
    *("updated_at", "done_at", "attempt", "host", "cancel_requested", "error", "asked_by"),
    *("project", "question", "tags", "again", "batch"),
)
"""As in a `TaskRow`, of which `question` becomes `asks`."""
END = 2**63 - 1
"""SQLite's greatest whole number."""
SET_BACK_S = 86_400.0
"""How far the log's clock may be set back without a filter by ends missing something."""
_COLUMNS = ", ".join(f"tasks.{name}" for name in COLUMNS)
_KEYS = "created_seq, user, id"
_TOLD = ("type", "created_at", "done_at")
"""What else the indexes have that are read by status."""
_SPARSE = {name: f"{name} != '' AND {name} = ?" for name in ("project", "host", "batch")}
"""Their indexes hold only what has one."""
_HAS_TAG = (
    "EXISTS (SELECT 1 FROM tags WHERE tags.user = newest.user AND tags.id = newest.id AND tag = ?)"
)
_SPANS = (
    "SELECT (SELECT min(first) FROM times WHERE span >= ?),"
    " (SELECT max(last) FROM times WHERE span <= ?)"
)
_MERGED = sorted(Status, key=lambda one: (one is Status.SUCCEEDED, one is Status.FAILED))
"""SQLite merges them one after the other: what comes last is handed on least often."""


def _by_status(*names: str) -> str:
    """An index that has each status by itself, in order, and beside it what is looked at."""
    told = (name for name in ("status", "created_seq", *_TOLD) if name not in names)
    some = " AND ".join(f"{name} != ''" for name in names if name in _SPARSE)
    where = f" WHERE {some}" if some else ""
    columns = ", ".join((*names, *told))
    return f"CREATE INDEX IF NOT EXISTS tasks_{'_'.join(names)} ON tasks ({columns}){where}"


INDEXES = (
    *(_by_status("user"), _by_status("user", "type"), _by_status("user", "host")),
    *(_by_status("project"), _by_status("project", "type"), _by_status("project", "host")),
    *(_by_status("project", "user"), _by_status("project", "user", "type")),
)

Sql = tuple[str, tuple[object, ...]]


class Range(NamedTuple):
    """Sequences between which the tasks that are wanted were created."""

    first: int = 0
    end: int = END
    """The first one behind it."""


class TaskSelection(NamedTuple):
    """How the tasks of a list are found."""

    key: Sql
    """The SELECT of (created_seq, user, id)."""
    each: tuple[Status, ...]
    """It is made for each of these, one after the other; empty: once, for all."""
    rest: Sql
    """What is left to ask of each that the index tells; empty: nothing."""
    joined: Sql
    """The same of what the table tells."""

    @property
    def exact(self) -> bool:
        """Whether nothing is left to ask."""
        return not self.rest[0] and not self.joined[0]

    def page(self, limit: int, offset: int = 0) -> Sql:
        """The SELECT of a page where nothing is left to ask: it reads no more than that."""
        keys, values = self._keys()
        return (
            f"SELECT {_COLUMNS} FROM (SELECT {_KEYS} FROM ({keys}"
            " ORDER BY created_seq DESC LIMIT ? OFFSET ?)) AS page"
            " CROSS JOIN tasks USING (user, id)",
            (*values, limit, offset),
        )

    def looked(self, looked: int, limit: int) -> Sql:
        """The SELECT of those among the newest `looked` that fit."""
        keys, values = self._keys()
        return (
            f"SELECT {_COLUMNS} FROM (SELECT {_KEYS} FROM ({keys}"
            f" ORDER BY created_seq DESC LIMIT ?) AS newest{_where(self.rest)}) AS page"
            " CROSS JOIN tasks USING (user, id)"
            f"{_where(self.joined)} ORDER BY page.created_seq DESC LIMIT ?",
            (*values, looked, *self.rest[1], *self.joined[1], limit),
        )

    def last(self, looked: int) -> Sql:
        """The SELECT of the sequence of the last of them; no row: there are not so many."""
        keys, values = self._keys()
        text = (
            f"SELECT created_seq FROM ({keys} ORDER BY created_seq DESC LIMIT 1 OFFSET ?) AS page"
        )
        return text, (*values, looked - 1)

    def counted(self, looked: int) -> Sql:
        """The SELECT of how many have which status, and how many were looked at: the newest
        `looked`, or where each status is read by itself, so many of each."""
        counted = "count(*) FILTER (WHERE {}), count(*)"
        if self.each and not self.joined[0]:
            one = (
                f"SELECT ?, {counted.format(self.rest[0] or 'true')} FROM"
                f" ({self.key[0]} AND status = ? ORDER BY created_seq DESC LIMIT ?) AS newest"
            )
            values = [
                value
                for status in self.each
                for value in (status.value, *self.rest[1], *self.key[1], status.value, looked)
            ]
            return " UNION ALL ".join([one] * len(self.each)), tuple(values)
        keys, key_values = self._keys()
        asked = " AND ".join(filter(None, (self.rest[0], self.joined[0]))) or "true"
        return (
            f"SELECT tasks.status, {counted.format(asked)} FROM"
            f" ({keys} ORDER BY created_seq DESC LIMIT ?) AS newest"
            " CROSS JOIN tasks USING (user, id) GROUP BY tasks.status",
            (*self.rest[1], *self.joined[1], *key_values, looked),
        )

    def _keys(self) -> Sql:
        if not self.each:
            return self.key
        text, values = self.key
        keys = " UNION ALL ".join([f"{text} AND status = ?"] * len(self.each))
        return keys, tuple(one for status in self.each for one in (*values, status.value))


def statuses(query: Query) -> list[Status]:
    """Those that the tasks may have; empty: there can be none."""
    over, status = query.over, query.status
    return [one for one in _MERGED if over in (None, one in OVER) and (not status or one in status)]


def spans(query: Query) -> Sql | None:
    """The SELECT of the first and the last sequence that tasks created then can have; None: at any
    time. Who has ended by some time was created by then."""
    ended = None if query.ended_before is None else query.ended_before + SET_BACK_S
    ends = [one for one in (query.created_before, ended) if one is not None]
    if query.created_after is None and not ends:
        return None
    first = 0 if query.created_after is None else max(0, int(query.created_after // SPAN_S))
    return _SPANS, (first, max(0, int(min(ends) // SPAN_S)) if ends else END)


def tag_count(query: Query, tag: str, most: int) -> Sql:
    """The SELECT of how many tasks have a tag, up to so many."""
    owner = "project" if query.user is None else "user"
    where = f"{_SPARSE.get(owner, f'{owner} = ?')} AND tag = ?"
    text = f"SELECT count(*) FROM (SELECT 1 FROM tags WHERE {where} LIMIT ?)"
    return text, (getattr(query, owner), tag, most)


def select(query: Query, wanted: Sequence[Status], within: Range) -> TaskSelection:
    """How the tasks are found that have one of these statuses; of several tags, by the first."""
    index = _index(query)
    asked = {name: getattr(query, name) for name in ("user", "project", "type", "host", "batch")}
    where = [(_SPARSE.get(name, f"{name} = ?"), asked.pop(name)) for name in index.names]
    where += [("tag = ?", query.tags[0])] if index.table == "tags" else []
    end = within.end if query.cursor is None else min(within.end, query.cursor)
    where += [("created_seq < ?", end), ("created_seq >= ?", within.first or None)]
    text, values = _joined(where)
    rest: list[tuple[str, object]] = [
        (_HAS_TAG, one) for one in query.tags[index.table == "tags" :]
    ]
    if index.each:
        rest += [("newest.type = ?", asked.pop("type", None)), *_looked_at(query, "newest")]
        joined = [(f"tasks.{name} = ?", value) for name, value in asked.items()]
        key = f"SELECT {_KEYS}, {', '.join(_TOLD)} FROM tasks WHERE {text}", values
        return TaskSelection(key, tuple(wanted), _joined(rest), _joined(joined))
    joined = [(f"tasks.{name} = ?", value) for name, value in asked.items()]
    told, told_values = _joined([*joined, *_looked_at(query, "tasks")])
    if len(wanted) < len(Status):
        one_of = f"tasks.status IN ({', '.join('?' * len(wanted))})"
        told = f"{told} AND {one_of}" if told else one_of
        told_values += tuple(status.value for status in wanted)
    key = f"SELECT {_KEYS} FROM {index.table} WHERE {text}", values
    return TaskSelection(key, (), _joined(rest), (told, told_values))


class _Index(NamedTuple):
    """Where the keys are read."""

    table: str
    names: tuple[str, ...]
    """What is asked for there."""
    each: bool
    """It has each status by itself."""


def _index(query: Query) -> _Index:
    owner = "project" if query.user is None else "user"
    if query.batch is not None:
        return _Index("tasks", (owner, "batch"), each=False)
    if query.tags:
        return _Index("tags", (owner,), each=False)
    if query.host is not None:
        return _Index("tasks", (owner, "host"), each=True)
    names = ("project", "user", "type")
    return _Index("tasks", tuple(n for n in names if getattr(query, n) is not None), each=True)


def _looked_at(query: Query, of: str) -> list[tuple[str, object]]:
    """What no index finds."""
    text = None if query.text is None else query.text.lower()
    took = f"{of}.done_at - {of}.created_at"
    return [
        # A line break can stand in neither, and a text that has one in it is nowhere.
        (f"instr(lower({of}.type || char(10) || {of}.id), ?) > 0", text),
        (f"{of}.created_at >= ?", query.created_after),
        (f"{of}.created_at < ?", query.created_before),
        (f"{of}.done_at >= ?", query.ended_after),
        (f"{of}.done_at < ?", query.ended_before),
        (f"{took} >= ?", query.longer_s),
        (f"{took} < ?", query.shorter_s),
    ]


def _joined(conditions: Sequence[tuple[str, object]]) -> Sql:
    """Those of which something is asked."""
    given = [(text, value) for text, value in conditions if value is not None]
    return " AND ".join(text for text, _ in given), tuple(value for _, value in given)


def _where(asked: Sql) -> str:
    return f" WHERE {asked[0]}" if asked[0] else ""
