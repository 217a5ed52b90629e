"""The file of a view: what its errors mean, and what becomes of one that is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from contracts.errors import Reason, Rejected

PASSING = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_INTERRUPT,
    }
)
"""SQLite's codes for what may pass while the file is good."""
LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
TORN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
UNREADABLE = frozenset(
    {
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
        sqlite3.SQLITE_IOERR_CORRUPTFS,
    }
)
"""Errors of the disk that say that a part of the file is gone."""
NO_JSON = "malformed JSON"
"""What SQLite says of a row, with the code that it has for wrong statements."""
AGAIN_S = 3600.0
"""A view that is damaged again so soon is not built anew before: the disk may be at fault."""
ASIDE = ".damaged"
"""How the name of a damaged file ends that is kept."""
PARTS = ("", "-wal", "-shm")


class ViewError(Rejected):
    """The view can't be used now (locked, disk full, no rights); its file is left as it is."""

    def __init__(self, why: str, *, locked: bool = False, lasting: bool = False) -> None:
        """`lasting`: the connection won't work again."""
        super().__init__(Reason.UNAVAILABLE, f"the tables can't be used now: {why}; try again")
        self.why = why
        self.locked = locked
        self.lasting = lasting

    def again(self) -> ViewError:
        """The same, to be raised once more."""
        return ViewError(self.why, locked=self.locked, lasting=self.lasting)


class ViewUnfit(Rejected):
    """The file is damaged: it has to be built anew."""

    def __init__(self, why: str, *, sure: bool = True) -> None:
        """Not `sure`: a statement of ours may be at fault as well."""
        text = f"the tables are damaged ({why}) and are built anew; try again later"
        super().__init__(Reason.UNAVAILABLE, text)
        self.why = why
        self.sure = sure

    def again(self) -> ViewUnfit:
        """The same, to be raised once more."""
        return ViewUnfit(self.why)


class ViewStale(ViewUnfit):
    """The file is whole, but of another release, or another one than was opened."""


def meaning(error: sqlite3.Error) -> ViewError | ViewUnfit:
    """What SQLite says of the file. What is not known to pass is damage."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    # The lower byte is the kind, the others say more of it.
    kind = code & 0xFF
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return ViewStale("its file was taken away")
    if kind in LOCKED:
        return ViewError(str(error), locked=True)
    if kind in PASSING and code not in UNREADABLE:
        # A file that was opened while it could only be read can never be written.
        return ViewError(str(error), lasting=kind != sqlite3.SQLITE_FULL)
    if not code:
        # Text that is none; what it says is nobody's business.
        return ViewUnfit("a row can't be read")
    spoilt = kind in TORN or code in UNREADABLE or str(error) == NO_JSON
    return ViewUnfit(str(error), sure=spoilt)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn what SQLite says of the file into ViewUnfit or ViewError."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise
    except sqlite3.Error as error:
        raise meaning(error) from error


class ViewFile:
    """One file with what SQLite keeps beside it, and the damaged one that it has replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.aside = path.with_name(path.name + ASIDE)

    def make_folder(self) -> None:
        """Raises ViewError."""
        with _usable():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def remove(self) -> None:
        """Have no file. Raises ViewError."""
        with _usable():
            for part in PARTS:
                _named(self.path, part).unlink(missing_ok=True)

    def put_aside(self) -> None:
        """Have no file, and keep this one in place of what was kept before. Raises ViewError."""
        with _usable():
            for part in PARTS:
                kept = _named(self.aside, part)
                try:
                    _named(self.path, part).replace(kept)
                except FileNotFoundError:
                    kept.unlink(missing_ok=True)
            if self.aside.exists():
                os.utime(self.aside)

    def again_at(self) -> float:
        """When it may be built anew after damage, in seconds since 1970: see `AGAIN_S`."""
        try:
            return self.aside.stat().st_mtime + AGAIN_S
        except OSError:
            return 0.0


@contextlib.contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ViewError(error.strerror or type(error).__name__, lasting=True) from error


def _named(path: Path, part: str) -> Path:
    return path.with_name(path.name + part)
