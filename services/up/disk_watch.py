"""Watches the disk of the embedded NATS server: gives the ballast up when it is full, and has the
server started again when there is room.

After one failed write a stream of the server takes nothing until the server's next start, however
much is free by then. The server tells the system account which streams are so.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from services.bus.bus import Bus
from services.bus.errors import BusError
from services.bus.names import inbox_prefix
from services.process import ballast, telemetry
from services.up import disk
from services.up.children import Server
from services.up.disk import LOW, MIN_FREE
from services.up.nats_config import SYSTEM

LOOK_S = 1.0
ASK_S = 2.0
"""Time in which the server must say how its streams are."""
AGAIN_S = 15.0
"""Pause before another start that is to mend the same, doubled up to the next each time."""
MOST_AGAIN_S = 240.0
_HEALTH = "$SYS.REQ.SERVER.PING.HEALTHZ"

log = telemetry.get_logger()


class DiskStep(Enum):
    """What is to be done."""

    NOTHING = auto()
    GIVE_UP = auto()
    """Give the ballast back to the disk."""
    TAKE = auto()
    """Take it again."""
    RESTART = auto()
    """Start the server again."""


class DiskSeen(NamedTuple):
    """One look."""

    at: float
    free: int
    """What can be written now: the ballast does not count."""
    held: bool
    """Whether there is ballast."""
    failing: bool
    """Whether some stream takes nothing since a write of it has failed."""


class NextStart(NamedTuple):
    """When the server may be started again."""

    not_before: float = 0.0
    pause: float = AGAIN_S


def decide(next_: NextStart, seen: DiskSeen) -> tuple[NextStart, DiskStep]:
    """What to do about what is seen. Pure."""
    if seen.free < LOW:
        # Whatever has failed, this is why: the start before was not in vain.
        step = DiskStep.GIVE_UP if seen.held else DiskStep.NOTHING
        return next_._replace(pause=AGAIN_S), step
    if seen.failing:
        if seen.at < next_.not_before:
            return next_, DiskStep.NOTHING
        longer = min(next_.pause * 2, MOST_AGAIN_S)
        return NextStart(seen.at + next_.pause, longer), DiskStep.RESTART
    step = DiskStep.NOTHING if seen.held or seen.free < MIN_FREE else DiskStep.TAKE
    return next_._replace(pause=AGAIN_S), step


class _StreamHealth(msgspec.Struct):
    stream: str = ""
    error: str = ""


class _ServerHealth(msgspec.Struct):
    errors: list[_StreamHealth] = []


class _Told(msgspec.Struct):
    data: _ServerHealth = msgspec.field(default_factory=_ServerHealth)


def stuck(answer: bytes) -> list[str]:
    """The streams that take nothing any more, as the server says. Raises DecodeError. Pure."""
    found = msgspec.json.decode(answer, type=_Told).data.errors
    return sorted({one.stream for one in found if "write error" in one.error})


class DiskWatch:
    """The child that watches, as long as the server is this process's own."""

    name = "disk"
    pid: int | None = None

    def __init__(self, server: Server) -> None:
        self._server = server
        self._data = server.embedded.data
        self._next = NextStart()

    async def run(self) -> None:
        """Look for ever; what can't be done now is tried at the next look."""
        server = self._server.embedded
        bus = await Bus.connect(
            server.url,
            name="metamcp-disk",
            credentials=server.credentials(SYSTEM),
            inbox_prefix=inbox_prefix(SYSTEM),
        )
        try:
            while not bus.closed.is_set():
                try:
                    await self._look(bus)
                except (OSError, BusError, msgspec.DecodeError) as error:
                    log.debug("disk_not_looked_at", error=str(error))
                await asyncio.sleep(LOOK_S)
            await bus.lost()
        finally:
            await bus.close()

    async def _look(self, bus: Bus) -> None:
        free = await asyncio.to_thread(disk.free_now, self._data)
        streams = await self._stuck(bus)
        seen = DiskSeen(time.monotonic(), free, not ballast.missing(self._data), bool(streams))
        self._next, step = decide(self._next, seen)
        if step is DiskStep.GIVE_UP:
            log.warning("disk_full", free=free, hint="room for operators is given free")
            ballast.give_up(self._data)
        elif step is DiskStep.TAKE:
            await asyncio.to_thread(ballast.take, self._data)
        elif step is DiskStep.RESTART:
            log.warning(
                "nats_restarted",
                why="streams take nothing since the disk was full",
                streams=streams,
            )
            await self._server.restart()

    async def _stuck(self, bus: Bus) -> list[str]:
        """Empty as well while the server does not say."""
        try:
            return stuck(await bus.request(_HEALTH, b'{"details":true}', timeout=ASK_S))
        except BusError:
            return []
