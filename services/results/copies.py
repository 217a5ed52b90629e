"""The read cache: local copies of results whose digest was verified, for parts of them.

A copy is verified whenever it is opened, and stays open only while it is being read.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

from contracts.errors import Reason, Rejected
from contracts.result import Kept

OPEN_S = 30.0
"""A copy that is not read for so long is closed, and verified again when it is next opened."""
MOST_OPEN = 64
FETCHES = 4
"""Results that are fetched at the same time."""
_PART = 1024 * 1024

Fetch = Callable[[Kept, Path], Awaitable[Path]]


class _Open:
    """A file that holds the right bytes."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.read_at = time.monotonic()
        self.reading = 0


class Copies:
    """Copies in a folder of their own, which is emptied at the start; at most `limit` bytes."""

    def __init__(self, folder: Path, limit: int, fetch: Fetch) -> None:
        self._folder = folder
        self._limit = limit
        self._fetch = fetch
        self._open: OrderedDict[tuple[str, str], _Open] = OrderedDict()
        self._sizes: OrderedDict[Path, int] = OrderedDict()
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._fetches = asyncio.Semaphore(FETCHES)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def read(self, kept: Kept, offset: int, length: int) -> bytes:
        """A part of the result. Raises Rejected: NOT_FOUND, DIGEST_MISMATCH, UNAVAILABLE."""
        copy = await self._opened(kept)
        copy.reading += 1
        copy.read_at = time.monotonic()
        try:
            return await asyncio.to_thread(os.pread, copy.handle, length, offset)
        finally:
            copy.reading -= 1

    def close(self) -> None:
        """Close and remove everything."""
        for copy in self._open.values():
            os.close(copy.handle)
        self._open.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _opened(self, kept: Kept) -> _Open:
        # Of one user and content: the right to read one's own says nothing about another's.
        key = (kept.user, kept.sha256)
        self._close_idle()
        if (copy := self._open.get(key)) is not None:
            self._open.move_to_end(key)
            return copy
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                if (copy := self._open.get(key)) is None:
                    async with self._fetches:
                        copy = self._open[key] = _Open(await self._verified(kept))
        finally:
            if not lock.locked():
                self._locks.pop(key, None)
        return copy

    async def _verified(self, kept: Kept) -> int:
        """Open a copy whose bytes are right: the one at hand, else a fresh one."""
        folder = self._folder / kept.user
        own = folder / kept.sha256
        if own.exists():
            handle = await asyncio.to_thread(_right, own, kept)
            if handle is not None:
                self._note(own, kept.size)
                return handle
            self._forget(own)
        self._make_room(kept.size)
        folder.mkdir(exist_ok=True, mode=0o700)
        path = await self._fetch(kept, folder)
        if path == own:
            self._note(own, kept.size)
        handle = await asyncio.to_thread(_right, path, kept)
        if handle is None:
            if path == own:
                self._forget(own)
            text = f"the stored bytes of task {kept.task} are not those that its digest names"
            raise Rejected(Reason.DIGEST_MISMATCH, text)
        return handle

    def _note(self, path: Path, size: int) -> None:
        """Put the file on the books as the one used last; a read that was broken off may have left
        it there unnoted."""
        self._sizes[path] = size
        self._sizes.move_to_end(path)

    def _make_room(self, size: int) -> None:
        while self._sizes and sum(self._sizes.values()) + size > self._limit:
            # Whoever reads it has it open: the bytes go when it is closed.
            self._forget(next(iter(self._sizes)))

    def _forget(self, path: Path) -> None:
        self._sizes.pop(path, None)
        path.unlink(missing_ok=True)

    def _close_idle(self) -> None:
        now = time.monotonic()
        for key, copy in list(self._open.items()):
            idle = now - copy.read_at > OPEN_S or len(self._open) > MOST_OPEN
            if idle and not copy.reading:
                del self._open[key]
                os.close(copy.handle)


def _right(path: Path, kept: Kept) -> int | None:
    """Open the file if it holds the result's bytes; None if it holds others."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    digest, size = hashlib.sha256(), 0
    while part := os.pread(handle, _PART, size):
        digest.update(part)
        size += len(part)
    if size == kept.size and digest.hexdigest() == kept.sha256:
        return handle
    os.close(handle)
    return None
