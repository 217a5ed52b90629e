"""Views that are damaged, in the ways that disks and people have."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

PAGE = 4096


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, to change it as nobody should."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        yield db


def page(path: Path) -> None:
    """Overwrite every page but the first: which of them is read first is SQLite's affair."""
    data = path.read_bytes()
    path.write_bytes(data[:PAGE] + b"\xa5" * (len(data) - PAGE))


def truncated(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 // PAGE * PAGE + 100])


def header(path: Path) -> None:
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def row(path: Path) -> None:
    """Put text that is none into every text of the tables of the service."""
    with opened(path) as db:
        names = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in set(names) - {"checkpoint", "passed_over", "sqlite_sequence"}:
            for _, column, kind, _, _, key in db.execute(f"PRAGMA table_info({table})").fetchall():
                if not key and kind in ("TEXT", "BLOB"):
                    db.execute(f"UPDATE {table} SET {column} = CAST(x'ff7b' AS TEXT)")


SPOILS: tuple[Callable[[Path], None], ...] = (page, truncated, header, garbage, row)
