"""One room for each host: its session, and how many calls may be in it and wait at its door.

A bad host fills its own room only.
"""

from __future__ import annotations

import asyncio
from typing import Any

from contracts.facts import FailureKind
from services import telemetry
from services.executor.hosts import open_session
from services.executor.hosts.base import Call, HostError, HostSession, Opening, Spooled
from services.executor.plan import Known

log = telemetry.get_logger()


class Room:
    """The session of one registration of a host."""

    def __init__(self, seq: int, session: HostSession, places: int, most_waiting: int) -> None:
        self.seq = seq
        self.session = session
        self.inside = 0
        """Calls in it or at its door."""
        self._places = asyncio.Semaphore(places)
        self._most = places + most_waiting

    async def call(self, call: Call) -> dict[str, Any] | Spooled:
        """Wait for a place, then call. Raises HostError."""
        if self.inside >= self._most:
            message = f"{self.inside} calls are in or before host {call.plan.host.id} already"
            raise HostError(FailureKind.UNREACHABLE, message)
        self.inside += 1
        try:
            async with self._places:
                return await self.session.call(call)
        finally:
            self.inside -= 1


class Pool:
    """The rooms of all hosts in use."""

    def __init__(self, opening: Opening, most_waiting: int) -> None:
        """`opening` is what all sessions have in common; its host is replaced."""
        self._opening = opening
        self._most_waiting = most_waiting
        self._rooms: dict[str, Room] = {}
        self._retired: set[Room] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def call(self, known: Known, call: Call) -> dict[str, Any] | Spooled:
        """Carry out a call on this host. Raises HostError."""
        room = self._room(known)
        call.private = self._opening.private
        try:
            return await room.call(call)
        finally:
            if room in self._retired and not room.inside:
                self._retired.discard(room)
                self._close(room)

    async def warm(self, known: Known) -> None:
        """Open the host's session, if it is not open. Raises HostError."""
        await self._room(known).session.open()

    def forget(self, host: str) -> None:
        """The host is gone or registered anew: its session ends after the calls in it."""
        room = self._rooms.pop(host, None)
        if room is None:
            return
        if room.inside:
            self._retired.add(room)
        else:
            self._close(room)

    async def close(self) -> None:
        """End all sessions at once."""
        rooms = [*self._rooms.values(), *self._retired]
        self._rooms.clear()
        self._retired.clear()
        for room in rooms:
            self._close(room)
        if self._closing:
            await asyncio.wait(self._closing)

    def _room(self, known: Known) -> Room:
        room = self._rooms.get(known.host.id)
        if room is not None and room.seq == known.seq:
            return room
        self.forget(known.host.id)
        session = open_session(self._opening._replace(host=known.host))
        room = Room(known.seq, session, known.host.limits.max_concurrency, self._most_waiting)
        self._rooms[known.host.id] = room
        return room

    def _close(self, room: Room) -> None:
        task = asyncio.create_task(room.session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
