"""What must survive a crash: which permits were used, and what was answered. SQLite, every commit
on disk before it returns; big answers lie beside it in files.

One process only: a second one on the same folder is refused.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from wire import Answer, Refused

INLINE = 64 * 1024
"""Bigger answers go into a file."""
MAX_PERMITS = 100_000
FORGET_S = 60.0
"""A permit is remembered this long beyond its end: longer than any leeway in checking it."""
WAIT_S = 2.0
"""For a predecessor that is still stopping."""
VERSION = 1
_SCHEMA = """
CREATE TABLE answer (
    id INTEGER PRIMARY KEY, status INTEGER NOT NULL, ok INTEGER NOT NULL, size INTEGER NOT NULL,
    body BLOB, file TEXT, keep REAL NOT NULL
) STRICT;
CREATE INDEX answer_keep ON answer (keep);
CREATE TABLE permit (
    user TEXT NOT NULL, jti TEXT NOT NULL, task TEXT NOT NULL, type TEXT NOT NULL,
    digest TEXT NOT NULL, exp REAL NOT NULL,
    answer INTEGER REFERENCES answer (id) ON DELETE SET NULL,
    PRIMARY KEY (user, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX permit_task ON permit (user, task);
CREATE INDEX permit_exp ON permit (exp);
CREATE INDEX permit_answer ON permit (answer);
"""


class StoreError(Exception):
    """The folder can't be used; the message says why."""


class Work(NamedTuple):
    """What is asked for, the same for all attempts of a task."""

    user: str
    task: str
    type: str
    digest: str


class Ask(NamedTuple):
    """One permit, used for this work."""

    work: Work
    jti: str
    exp: float


class Known(NamedTuple):
    """A permit that was used before."""

    work: Work
    answer: Answer | None
    """None: its run began, and how it ended is not known, or no longer kept."""


class Limits(NamedTuple):
    """How much is kept, for how long."""

    keep_s: float
    """After a permit's end its answer serves other attempts of the task for this time."""
    answers: int
    total: int
    """Bytes of all answers."""


class Store:
    """The used permits and their answers. Calls block until the disk has it."""

    def __init__(
        self, folder: Path, limits: Limits, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the folder, or make it. Raises StoreError."""
        self._limits = limits
        self._clock = clock
        self._files = folder / "answers"
        try:
            self._files.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = _open(folder / "permits.sqlite")
            self._sweep()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(_explain(folder, error)) from error

    def find(self, user: str, jti: str) -> Known | None:
        """What is known about a permit; None if it was never used."""
        row = self._db.execute(
            "SELECT permit.user, task, type, digest, status, body, file, ok FROM permit"
            " LEFT JOIN answer ON answer.id = permit.answer WHERE permit.user = ? AND jti = ?",
            (user, jti),
        ).fetchone()
        return Known(Work(*row[:4]), self._answer(*row[4:])) if row else None

    def begin(self, ask: Ask) -> None:
        """Note that a run under this permit begins. Raises Refused(429) if there is no room."""
        self._insert(ask, None)

    def reuse(self, ask: Ask) -> Answer | None:
        """The answer of another attempt that did this work, from now on this permit's as well."""
        row = self._db.execute(
            "SELECT answer.id, status, body, file, ok FROM permit"
            " JOIN answer ON answer.id = permit.answer"
            " WHERE user = ? AND task = ? AND type = ? AND digest = ? AND ok LIMIT 1",
            ask.work,
        ).fetchone()
        if row is None:
            return None
        self._insert(ask, row[0])
        return self._answer(*row[1:])

    def spool(self, body: bytes) -> Path:
        """Put a big body into a file of its own, to be named by `finish`."""
        path = self._files / f"{secrets.token_hex(16)}.json"
        with path.open("xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        _sync(self._files)
        return path

    def finish(self, user: str, jtis: Iterable[str], answer: Answer) -> None:
        """Note the answer of these permits, and make room for it."""
        size, inline, file = _parts(answer)
        with self._db:
            dropped = self._prune(size)
            row = (answer.status, answer.ok, size, inline, file)
            into = (
                "INSERT INTO answer (status, ok, size, body, file, keep) VALUES (?, ?, ?, ?, ?, 0)"
            )
            key = self._db.execute(into, row).lastrowid
            self._db.executemany(
                "UPDATE permit SET answer = ? WHERE user = ? AND jti = ?",
                [(key, user, jti) for jti in jtis],
            )
            self._keep(key)
        self._remove(dropped)

    def close(self) -> None:
        """Let go of the folder."""
        self._db.close()

    def _insert(self, ask: Ask, answer: int | None) -> None:
        with self._db:
            dropped = self._prune(0)
            (count,) = self._db.execute("SELECT count(*) FROM permit").fetchone()
            if count >= MAX_PERMITS:
                text = f"{count} permits are still valid, and no more can be remembered"
                raise Refused(429, "busy", text, retry_after_s=60)
            row = (ask.work.user, ask.jti, *ask.work[1:], ask.exp, answer)
            self._db.execute("INSERT INTO permit VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            if answer is not None:
                self._keep(answer)
        self._remove(dropped)

    def _keep(self, answer: int | None) -> None:
        """Keep an answer as long as the longest of its permits asks for."""
        self._db.execute(
            "UPDATE answer SET keep = ? + coalesce("
            " (SELECT max(exp) FROM permit WHERE permit.answer = answer.id), 0) WHERE id = ?",
            (self._limits.keep_s, answer),
        )

    def _prune(self, coming: int) -> list[str]:
        """Forget what may be forgotten, and as much more as there is no room for.

        A permit is never forgotten before its end, only its answer. The files to remove come back.
        """
        now = self._clock()
        going = "SELECT id, size, file FROM answer WHERE keep < ?"
        gone = self._db.execute(going, (now,)).fetchall()
        totals = "SELECT count(*), coalesce(sum(size), 0) FROM answer WHERE keep >= ?"
        count, total = self._db.execute(totals, (now,)).fetchone()
        rest = self._db.execute(
            "SELECT id, size, file FROM answer WHERE keep >= ? ORDER BY keep, id", (now,)
        )
        limits = self._limits
        while coming and (count >= limits.answers or total + coming > limits.total):
            if (row := rest.fetchone()) is None:
                break
            gone.append(row)
            count, total = count - 1, total - row[1]
        self._db.executemany("DELETE FROM answer WHERE id = ?", [(row[0],) for row in gone])
        old = "DELETE FROM permit WHERE answer IS NULL AND exp < ?"
        self._db.execute(old, (now - FORGET_S,))
        return [row[2] for row in gone if row[2]]

    def _answer(
        self, status: int | None, body: bytes | None, file: str | None, ok: int | None
    ) -> Answer | None:
        if status is None:
            return None
        return Answer(status, self._files / file if file else body or b"", bool(ok))

    def _remove(self, files: Iterable[str]) -> None:
        for file in files:
            (self._files / file).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove files that a crash has left without an answer."""
        named = {row[0] for row in self._db.execute("SELECT file FROM answer WHERE file NOT NULL")}
        for path in self._files.iterdir():
            if path.name not in named:
                path.unlink()


def _open(path: Path) -> sqlite3.Connection:
    with contextlib.ExitStack() as stack:
        db = stack.enter_context(contextlib.closing(sqlite3.connect(path, timeout=WAIT_S)))
        # Held until the end: no second process can use the folder, and no shared memory is needed.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"its version is {version}, not {VERSION}")
        stack.pop_all()
    return db


def _parts(answer: Answer) -> tuple[int, bytes | None, str | None]:
    """Size, inline body, and name of the file."""
    if isinstance(answer.body, bytes):
        return len(answer.body), answer.body, None
    return answer.body.stat().st_size, None, answer.body.name


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(folder: Path, error: Exception) -> str:
    if "locked" in str(error):
        return f"another process uses the folder {folder}: stop it, or set METAMCP_STATE to another"
    return f"the folder {folder} can't be used: {error}. Correct METAMCP_STATE"
