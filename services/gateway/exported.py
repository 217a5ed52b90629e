"""Tasks of a list as lines of text: JSON, or CSV that a spreadsheet can open. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from services.gateway.rows import TaskRow

COLUMNS = (
    *("id", "user", "project", "batch", "type", "priority", "status", "host", "attempt"),
    *("created_seq", "created_at", "done_at", "took_s", "error", "message", "tags", "again"),
    "asked_by",
)
"""Of CSV; times as in RFC 3339."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def json_lines(rows: Iterable[TaskRow]) -> bytes:
    """Each as the list has it."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def csv_head() -> bytes:
    """The first line."""
    return (",".join(COLUMNS) + "\r\n").encode()


def csv_lines(rows: Iterable[TaskRow]) -> bytes:
    """Each as a line under `csv_head`."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([cell(value) for value in _cells(row)])
    return text.getvalue().encode()


def cell(value: object) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe stands before one."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cells(row: TaskRow) -> tuple[object, ...]:
    took = None if row.done_at is None else f"{max(0.0, row.done_at - row.created_at):.3f}"
    error, message = (row.error.code, row.error.message) if row.error else ("", "")
    tags = msgspec.json.encode(row.tags).decode() if row.tags else ""
    return (
        *(row.id, row.user, row.project, row.batch, row.type, row.priority.value),
        *(row.status.value, row.host, row.attempt or None),
        *(row.created_seq, _time(row.created_at), _time(row.done_at), took),
        *(error, message, tags, row.again, row.asked_by),
    )


def _time(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
