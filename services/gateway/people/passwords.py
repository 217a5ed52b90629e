"""Passwords: which are good enough, and their argon2id hashes, made apart from the event loop."""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from contracts.errors import Reason, Rejected

LEAST_LENGTH = 10
MOST_BYTES = 1024
THREADS = 2
MOST_WAITING = 64
"""Passwords that wait to be hashed or are just hashed: 64 take some 3 s of two cores."""
MEMORY_KIB = 64 * 1024
ROUNDS = 2
MOST_WAIT_S = 60.0
"""Whoever finds no place is told to come again no later than this."""
BEHIND = 5
"""By how much the threads that hash stand back behind all others of the machine ("nice")."""
HASHER = PasswordHasher(time_cost=ROUNDS, memory_cost=MEMORY_KIB, parallelism=1)
COMMON = Path(__file__).with_name("common.txt")
_ENDINGS = "0123456789!?.,-_*#$%@+=& "

T = TypeVar("T")


class Verified(NamedTuple):
    """What came of a comparison."""

    good: bool
    better: str = ""
    """The password's hash with today's parameters, if the stored one has others."""


class NoPlace(Rejected):
    """Too many are signing in: it may be tried again after `wait_s` seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(Reason.UNAVAILABLE, "too many are signing in now: try again")
        self.wait_s = wait_s


class HashTurns:
    """When those who found no place are to come again: one after the other, as places get free.

    Told one time, all of a crowd would come back at once, and all but a few in vain. Pure: whoever
    asks says what time it is.
    """

    def __init__(self, each_s: float = 0.1) -> None:
        """`each_s`: how long one password keeps a thread, to begin with."""
        self._each_s = each_s
        self._last = self._over = 0.0

    def took(self, seconds: float) -> None:
        """One password has kept a thread so long."""
        self._each_s += (seconds - self._each_s) / 8

    def next(self, now: float) -> float:
        """Seconds until the turn of one more, at most MOST_WAIT_S."""
        step = min(self._each_s / THREADS, MOST_WAIT_S)
        turn = max(self._last, now) + step
        if turn <= now + MOST_WAIT_S:
            self._last = turn
            return turn - now
        # There is no turn for them yet: they ask again, and not all at once either.
        self._over = (self._over + step) % (MOST_WAIT_S / 2)
        return MOST_WAIT_S - self._over


class Passwords:
    """Hashes and compares in threads of its own, so many at once. `close` at the end."""

    def __init__(self, hasher: PasswordHasher = HASHER, *, most_waiting: int = MOST_WAITING):
        self._hasher = hasher
        self._most = most_waiting
        self._waiting = 0
        self._turns = HashTurns()
        self._pool = ThreadPoolExecutor(
            THREADS, thread_name_prefix="password", initializer=_stand_back
        )
        self._nobodys: str | None = None

    async def hash(self, password: str, user: str) -> str:
        """The hash of a new password. Raises Rejected(BAD_REQUEST), NoPlace."""
        check(password, user)
        return await self._apart(lambda: self._hasher.hash(prepared(password)))

    async def verify(self, stored: str, password: str) -> Verified:
        """Whether that is the password of a hash; `stored` empty: of nobody, in the same time.

        Raises NoPlace.
        """
        return await self._apart(lambda: self._verify(stored, prepared(password)))

    async def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str, password: bytes) -> Verified:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash(secrets.token_bytes(32))
        if len(password) > MOST_BYTES:
            stored, password = "", b""
        try:
            self._hasher.verify(stored or self._nobodys, password)
        except (Argon2Error, InvalidHashError):
            return Verified(False)
        if not stored:
            return Verified(False)
        dated = self._hasher.check_needs_rehash(stored)
        return Verified(True, self._hasher.hash(password) if dated else "")

    async def _apart(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._most:
            raise NoPlace(self._turns.next(time.monotonic()))
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            done, seconds = await loop.run_in_executor(self._pool, _timed, work)
            self._turns.took(seconds)
            return done
        finally:
            self._waiting -= 1


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.monotonic()
    done = work()
    return done, time.monotonic() - began


def _stand_back() -> None:
    """Let the event loop go first where there is work for all processors."""
    if sys.platform == "linux":
        # Elsewhere it would be the whole process.
        own = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + BEHIND)


def check(password: str, user: str) -> None:
    """Refuse what is guessed soon. Raises Rejected(BAD_REQUEST) that says why."""
    if (why := weakness(password, user)) is not None:
        raise Rejected(Reason.BAD_REQUEST, f"this password is not taken: {why}")


def weakness(password: str, user: str) -> str | None:
    """Why a password is not good enough; None: it is."""
    if len(password) < LEAST_LENGTH:
        return f"it has {len(password)} characters; {LEAST_LENGTH} are the least"
    if len(prepared(password)) > MOST_BYTES:
        return f"it has more than {MOST_BYTES} bytes"
    plain = password.casefold().strip()
    stem = plain.strip(_ENDINGS)
    if user.casefold() in (plain, stem):
        return "it is the user's own name"
    if len(set(plain)) < 4:
        return "it is made of fewer than 4 different characters"
    if {plain, stem} & common():
        return "it is among the most common ones, or one of those with digits or signs around it"
    return None


def prepared(password: str) -> bytes:
    """The bytes that are hashed: the same whichever way a keyboard writes an accent."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


@functools.cache
def common() -> frozenset[str]:
    """The most common passwords of at least six characters, in lower case."""
    return frozenset(COMMON.read_text(encoding="utf-8").splitlines())
