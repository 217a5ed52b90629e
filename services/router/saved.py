"""The router's view, copied from time to time: one that has lost it leads after seconds, however
long the log is. What follows from the copy is what follows from the log: it is a file like its own.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol

from services.process import telemetry
from services.router.projection import VERSION
from services.store.stream import StoreError

COPY_S = 60.0
"""How often the active router looks whether a copy is due."""
COPY_FACTS = 20_000
"""Facts after the last copy from which on a new one is made: the log has them within a second."""
PIECE = 256 * 1024
"""Bytes of a view that are compressed at a time."""
MOST_VIEW = 512 * 1024 * 1024
"""Bytes that a copy may have as a file."""

log = telemetry.get_logger()


class KeepsCopies(Protocol):
    """What is needed of `services.store.copies.ViewCopies`."""

    async def put(self, version: int, data: bytes) -> None:
        """Keep this one. Raises StoreError."""

    async def get(self, version: int) -> bytes | None:
        """The newest of this version, if it is whole. Raises StoreError."""


class Copier:
    """Copies the view while this router is the active one."""

    def __init__(
        self, copies: KeepsCopies, path: Path, active: Callable[[], bool], at: Callable[[], int]
    ) -> None:
        """`at`: the sequence through which the file is complete."""
        self._copies = copies
        self._path = path
        self._active = active
        self._at = at
        self._copied = 0

    async def run(self) -> None:
        """Copy for ever; a copy that can't be made or kept is made later."""
        while True:
            await asyncio.sleep(COPY_S)
            await self.look()

    async def look(self) -> None:
        """Make a copy if one is due."""
        at = self._at()
        if not self._active() or at - self._copied < COPY_FACTS:
            return
        try:
            data = await asyncio.to_thread(packed, self._path)
            await self._copies.put(VERSION, data)
        except (StoreError, OSError, sqlite3.Error) as error:
            log.warning("view_not_copied", error=str(error))
            return
        self._copied = at
        log.debug("view_copied", position=at, bytes=len(data))


async def restore(copies: KeepsCopies, path: Path) -> bool:
    """Where there is no view, put the copy, if there is one; True if it was put."""
    if await asyncio.to_thread(path.exists):
        return False
    try:
        data = await copies.get(VERSION)
        if data is not None:
            await asyncio.to_thread(unpack, data, path)
            log.info("view_restored", path=str(path))
            return True
    except (StoreError, OSError, zlib.error) as error:
        log.warning("view_not_restored", error=str(error))
    return False


def packed(path: Path) -> bytes:
    """The view as of now, as one file, compressed. Raises OSError, sqlite3.Error."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="copy-") as folder:
        copy = Path(folder) / path.name
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            db.execute("VACUUM INTO ?", (str(copy),))
        # In pieces: what a whole file takes for a moment, the process keeps for long.
        packing, parts = zlib.compressobj(1), list[bytes]()
        with copy.open("rb") as file:
            while piece := file.read(PIECE):
                parts.append(packing.compress(piece))
        return b"".join([*parts, packing.flush()])


def unpack(data: bytes, path: Path) -> None:
    """Make it a file again, all at once. Raises OSError, zlib.error."""
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(data, MOST_VIEW)
    if not unpacking.eof:
        raise zlib.error(f"a copy is cut off, or has more than {MOST_VIEW:,} bytes")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # What is left of the lost one would be taken for this one's.
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="copy-") as folder:
        whole = Path(folder) / path.name
        whole.write_bytes(content)
        whole.replace(path)
