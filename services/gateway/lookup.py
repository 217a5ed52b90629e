"""Tables that lists look things up in: tasks by their tags, and which tasks a time has seen.

`changes` is pure; its statements come after those that make the rows of the tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from contracts.facts import Record, TaskCreated, TaskTagged
from services.log.projection import Change

SPAN_S = 300
"""Seconds of log time that one row of `times` stands for."""
SCHEMA = (
    # A tag is there twice: as `key`, and as `key=value`.
    """CREATE TABLE IF NOT EXISTS tags (
        user TEXT NOT NULL, id TEXT NOT NULL, tag TEXT NOT NULL, created_seq INTEGER NOT NULL,
        project TEXT NOT NULL, PRIMARY KEY (user, id, tag)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS tags_user ON tags (user, tag, created_seq)",
    """CREATE INDEX IF NOT EXISTS tags_project ON tags (project, tag, created_seq)
        WHERE project != ''""",
    # The log's clock may have been set back: sequences of one span may be among those of others.
    """CREATE TABLE IF NOT EXISTS times (
        span INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL)""",
)
_FORGET_TAGS = "DELETE FROM tags WHERE user = ? AND id = ?"
_PUT_TAG = """INSERT OR REPLACE INTO tags
    SELECT user, id, ?, created_seq, project FROM tasks WHERE user = ? AND id = ?"""
_PUT_SPAN = """INSERT INTO times VALUES (?, ?, ?) ON CONFLICT (span)
    DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)"""


def changes(records: Iterable[Record]) -> list[Change]:
    """What these facts change in the tables."""
    tags: dict[tuple[str, str], Mapping[str, str]] = {}
    tagged: set[tuple[str, str]] = set()
    spans: dict[int, tuple[int, int]] = {}
    for record in records:
        match record.fact:
            case TaskCreated() as fact:
                if fact.spec.tags:
                    tags[fact.user, fact.task] = fact.spec.tags
                span = int(record.at // SPAN_S)
                first, last = spans.get(span, (record.seq, record.seq))
                spans[span] = min(first, record.seq), max(last, record.seq)
            case TaskTagged() as fact:
                tags[fact.user, fact.task] = fact.tags
                tagged.add((fact.user, fact.task))
    return [
        Change(_FORGET_TAGS, sorted(tagged)),
        Change(_PUT_TAG, [(word, *key) for key, told in tags.items() for word in words(told)]),
        Change(_PUT_SPAN, [(span, *ends) for span, ends in spans.items()]),
    ]


def words(tags: Mapping[str, str]) -> Sequence[str]:
    """What a task with these tags is found by."""
    return [word for key, value in tags.items() for word in (key, f"{key}={value}")]
