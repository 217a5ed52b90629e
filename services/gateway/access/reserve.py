"""What is kept free on the disk, so that tasks end and operators act when users have filled it, and
whether anything is stored at all.

A full store takes nothing at all, not even what makes room: so new tasks and uploads end earlier.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from contracts.errors import Reason, Rejected
from services.bus.errors import BusError
from services.bus.room import Room
from services.process import ballast, telemetry
from services.store.stream import StoreError, StoreRefused

LOOK_S = 1.0
SHARE = 8
"""At most one part in so many of the store is kept free: of a small disk most is for use."""
FAILED_S = 10.0
"""How long a fact that could not be stored says that none can."""
IDLE_S = 2.0
"""So long after the last write a small one is tried, to see whether anything is stored."""
PROBE_S = 1.5
"""Time in which it must be answered."""
RESERVE = 256 * 1024 * 1024
MIB = 1024 * 1024

log = telemetry.get_logger()


async def unknown() -> Room:
    """Where nobody says how much there is."""
    return Room(0, None)


class Reserve:
    """How full the store and the disk are. Without `run` there is always room."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[Room]] = unknown,
        folder: Path | None = None,
        reserve: int = RESERVE,
        clock: Callable[[], float] = time.monotonic,
        probe: Callable[[], Awaitable[object]] | None = None,
        refusing: Callable[[], str] = str,
    ) -> None:
        """`ask` raises BusError; `folder` is the data folder, whose disk must not be full either.

        `probe` writes something small and raises StoreError; `refusing`: why facts are not stored,
        as far as those under way tell; empty: they are.
        """
        self._ask = ask
        self._folder = folder
        self._reserve = reserve
        self._clock = clock
        self._probe = probe
        self._refusing = refusing
        self._failed: tuple[float, str] | None = None
        self._wrote = clock()
        self.full = ""
        """Why nothing new is taken; empty: there is room."""

    def check(self, *, operator: bool) -> None:
        """Refuse what would use up the reserve, but for operators. Raises Rejected(DISK_FULL)."""
        if self.full and not operator:
            raise Rejected(Reason.DISK_FULL, f"{self.full}: {ADVICE}")

    def appended(self, error: Exception | None) -> None:
        """Hear how storing a fact went; only what the log has answered counts as its failure."""
        self._wrote = self._clock()
        self._failed = None if error is None else (self._wrote, str(error))

    @property
    def failing(self) -> str:
        """Why facts can't be stored now, as far as the last attempt tells; empty: they can."""
        if why := self._refusing():
            return f"the log takes no facts: {why}"
        if self._failed is None or self._clock() - self._failed[0] > FAILED_S:
            return ""
        return f"the log takes no facts: {self._failed[1]}"

    async def run(self) -> None:
        """Look every second, for ever."""
        while True:
            await self.look()
            await self.try_writing()
            await asyncio.sleep(LOOK_S)

    async def try_writing(self) -> None:
        """Write something small, if nothing has been written for a while.

        It goes to the bucket of leases, which keeps one message of a subject: not to the log, where
        every fact stays for ever. A full disk refuses it as it does a fact. What a disk that was
        full for a moment has done to the log's own stream, the facts under way tell (`refusing`).
        """
        if self._probe is None or self._clock() - self._wrote < IDLE_S:
            return
        try:
            async with asyncio.timeout(PROBE_S):
                await self._probe()
        except StoreRefused as error:
            # The configuration of an older release does not let it: then facts alone tell.
            log.info("writing_not_tried", error=str(error))
            self._probe = None
        except (TimeoutError, StoreError) as error:
            self._failed = self._clock(), str(error) or "NATS does not answer to what is written"
        else:
            self.appended(None)

    async def look(self) -> None:
        """Look once. While nobody answers, what was known counts."""
        try:
            room = await self._ask()
        except BusError as error:
            log.debug("room_not_known", error=str(error))
            return
        full = describe(room, self._free(), self._reserve)
        if bool(full) != bool(self.full):
            log.warning("disk_nearly_full" if full else "disk_has_room_again", why=full)
        self.full = full

    def _free(self) -> int | None:
        """Of the fuller disk; what the ballast has given up is not for users."""
        if self._folder is None:
            return None
        store = self._folder / ballast.STORE
        try:
            free = shutil.disk_usage(self._folder).free
            if not store.is_dir():
                return free
            return min(free, shutil.disk_usage(store).free - ballast.missing(self._folder))
        except OSError:
            return None


ADVICE = (
    "new tasks and uploads are refused until there is room; delete blobs (DELETE"
    " /api/blobs/{sha256}) and results, or give the store a bigger disk"
)


def describe(room: Room, free: int | None, reserve: int) -> str:
    """Say why nothing new may be taken; empty: there is room. `free`: bytes of the disk. Pure."""
    if room.limit is not None:
        kept = min(reserve, room.limit // SHARE)
        if room.limit - room.used < kept:
            return (
                f"the store is nearly full: {room.used // MIB} of {room.limit // MIB} MiB are used"
                f" and {kept // MIB} MiB are kept free"
            )
        reserve = kept
    if free is not None and free < reserve:
        return (
            f"the disk is nearly full: {max(free, 0) // MIB} MiB are free, and"
            f" {reserve // MIB} MiB are kept free"
        )
    return ""
