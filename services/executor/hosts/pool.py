"""The sessions of hosts: one door for each registration, and who shares a session with whom.

Each host has its own places and its own queue before them: a slow or sick one holds nobody else up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from contracts.facts import FailureKind
from contracts.host import Execute, Host, Stdio, StreamableHttp, operated
from services.executor.attempt.call import Call, HostError, HostSession, Opening, Spooled
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.breakers import Breakers, CallGuard
from services.executor.hosts.kinds import open_session
from services.keys.secrets import MissingSecret, Secrets, advice
from services.process import telemetry

MOST_SESSIONS = 32
"""Sessions kept open to one host; the one that has rested longest makes way for another."""

REST_S = 30.0
"""Further sessions with one host, of calls that share none, end when they have rested so long."""

log = telemetry.get_logger()

Close = Callable[[HostSession], None]
_WITH_BEARER = (StreamableHttp, Execute)


class _Room:
    """One session and the calls in it."""

    def __init__(self, session: HostSession) -> None:
        self.session = session
        self.inside = 0
        self.closed = False
        """The call in it wants no other beside it."""
        self.empty_at = 0.0
        """Monotonic time at which the last call left."""


class Door:
    """The way to one registration of a host.

    Calls that may be made again share a session, so that one process does for many. One that may
    not has a session for itself while it runs: no other call can take it along when it dies.
    """

    def __init__(self, guard: CallGuard, opening: Opening, most_waiting: int, close: Close) -> None:
        """`most_waiting`: calls that may wait for a place; `close` ends a session."""
        places = opening.host.limits.max_concurrency
        self.seq = guard.seq
        self._guard = guard
        self.inside = 0
        """Calls in a session or before it."""
        self._opening = opening
        self._close = close
        self._places = asyncio.Semaphore(places)
        self._most = places + most_waiting
        self._process = isinstance(opening.host.endpoint, Stdio)
        self._session = isinstance(opening.host.endpoint, Stdio | StreamableHttp)
        self._rooms: dict[str | None, list[_Room]] = {}
        self._alone: set[_Room] = set()
        """Of isolated calls."""
        self._trimming: asyncio.TimerHandle | None = None

    async def call(self, call: Call, bearer: str | None) -> dict[str, Any] | Spooled:
        """Wait for a place, then call. Raises HostError."""
        self._guard.check()
        if self.inside >= self._most:
            message = f"{self.inside} calls are in or before host {call.plan.host.id} already"
            raise HostError(FailureKind.UNREACHABLE, message)
        self.inside += 1
        try:
            await self._places.acquire()
            try:
                waited = self._guard.troubled and await self._guard.turn()
                room = self._enter(call, bearer)
                try:
                    with self._guard.watch(call, call.deadline, waited=waited):
                        return await room.session.call(call)
                finally:
                    self._leave(room, call, bearer)
            finally:
                self._places.release()
        finally:
            self.inside -= 1

    async def warm(self, bearer: str | None) -> None:
        """Open the session, if it is not open. Raises HostError."""
        rooms = self._of(bearer)
        await (rooms[0] if rooms else self._add(bearer)).session.open()

    def close(self) -> None:
        """End every session at once."""
        if self._trimming is not None:
            self._trimming.cancel()
        every = [*self._alone, *(room for rooms in self._rooms.values() for room in rooms)]
        self._alone.clear()
        self._rooms.clear()
        for room in every:
            self._close(room.session)

    def _enter(self, call: Call, bearer: str | None) -> _Room:
        """The session for this call, with the call in it."""
        if call.isolated and self._session:
            room = _Room(open_session(self._opening._replace(bearer=bearer, isolated=True)))
            self._alone.add(room)
        else:
            closed = call.careful = self._process and not call.plan.replayable
            rooms = self._of(bearer)
            fits = (room for room in rooms if not (room.inside and (closed or room.closed)))
            room = next(fits, None) or self._add(bearer)
            room.closed = closed
        room.inside += 1
        return room

    def _leave(self, room: _Room, call: Call, bearer: str | None) -> None:
        room.inside -= 1
        if room in self._alone:
            self._alone.discard(room)
            self._close(room.session)
            return
        rooms = self._rooms.get(bearer, [])
        if room.inside or room not in rooms:
            return
        if room.closed and call.called is None and call.course.death is None:
            # It was given up, and may be at work in there still.
            self._end(bearer, room)
            return
        room.empty_at = time.monotonic()
        if len(rooms) > 1 and self._trimming is None:
            self._trimming = asyncio.get_running_loop().call_later(REST_S, self._trim)

    def _trim(self) -> None:
        """End what has rested for long, but for one session of each credential."""
        self._trimming, since = None, time.monotonic() - REST_S
        for rooms in self._rooms.values():
            for room in [room for room in rooms[1:] if not room.inside and room.empty_at <= since]:
                rooms.remove(room)
                self._close(room.session)
        if any(len(rooms) > 1 for rooms in self._rooms.values()):
            self._trimming = asyncio.get_running_loop().call_later(REST_S, self._trim)

    def _of(self, bearer: str | None) -> list[_Room]:
        """The sessions of a credential, which now is the one that was used last."""
        rooms = self._rooms.pop(bearer, [])
        self._rooms[bearer] = rooms
        return rooms

    def _add(self, bearer: str | None) -> _Room:
        """One session more; at the limit one that rests makes way."""
        room = _Room(open_session(self._opening._replace(bearer=bearer)))
        if sum(map(len, self._rooms.values())) >= MOST_SESSIONS:
            every = ((known, one) for known, rooms in self._rooms.items() for one in rooms)
            if resting := next((each for each in every if not each[1].inside), None):
                self._end(*resting)
        self._rooms.setdefault(bearer, []).append(room)
        return room

    def _end(self, bearer: str | None, room: _Room) -> None:
        """End a session; the credential goes with its last one."""
        rooms = self._rooms[bearer]
        rooms.remove(room)
        if not rooms:
            del self._rooms[bearer]
        self._close(room.session)


class Pool:
    """The doors of all hosts in use."""

    def __init__(self, opening: Opening, most_waiting: int, secrets: Secrets) -> None:
        """`opening` is what all sessions have in common; its host is replaced."""
        self._opening = opening
        self._most_waiting = most_waiting
        self._secrets = secrets
        self.breakers = Breakers()
        self._doors: dict[str, Door] = {}
        self._retired: set[Door] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def call(self, known: KnownHost, call: Call) -> dict[str, Any] | Spooled:
        """Carry out a call on this host. Raises HostError."""
        name = secret_of(known.host)
        bearer = await self._secret(known.host, name, call.plan.user) if name is not None else None
        door = self._door(known)
        call.private = self._opening.private
        try:
            return await door.call(call, bearer)
        finally:
            if door in self._retired and not door.inside:
                self._retired.discard(door)
                door.close()

    async def warm(self, known: KnownHost) -> None:
        """Open the host's session, if it is not open. Raises HostError."""
        name = secret_of(known.host)
        bearer = (
            await self._secret(known.host, name, known.host.owner) if name is not None else None
        )
        await self._door(known).warm(bearer)

    def forget(self, host: str) -> None:
        """The host is gone or registered anew: its sessions end after the calls in them."""
        self.breakers.forget(host)
        door = self._doors.pop(host, None)
        if door is None:
            return
        if door.inside:
            self._retired.add(door)
        else:
            door.close()

    async def close(self) -> None:
        """End all sessions at once."""
        doors = [*self._doors.values(), *self._retired]
        self._doors.clear()
        self._retired.clear()
        for door in doors:
            door.close()
        if self._closing:
            await asyncio.wait(self._closing)

    def _door(self, known: KnownHost) -> Door:
        door = self._doors.get(known.host.id)
        if door is not None and door.seq == known.seq:
            return door
        if door is not None and door.seq > known.seq:
            text = f"host {known.host.id} was registered anew"
            raise HostError(FailureKind.HOST_GONE, text, called=False)
        self.forget(known.host.id)
        opening = self._opening._replace(host=known.host)
        guard = self.breakers.of(known.host.id, known.seq)
        door = Door(guard, opening, self._most_waiting, self._close)
        self._doors[known.host.id] = door
        return door

    async def _secret(self, host: Host, name: str, user: str | None) -> str:
        """The secret that is sent as bearer token. Raises HostError(UNREACHABLE)."""
        try:
            foreign = not operated(host)
            return await self._secrets.find(name, user, only_own=foreign)
        except MissingSecret as missing:
            # Users see the message of a failure; where secrets lie is for the operator alone.
            log.warning("secret_missing", host=host.id, user=user, error=str(missing))
            message = f"host {host.id} needs the secret {name}, and it is not there"
            if command := advice(name):
                message += f": {command}"
            raise HostError(FailureKind.UNREACHABLE, message) from missing

    def _close(self, session: HostSession) -> None:
        task = asyncio.create_task(session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def secret_of(host: Host) -> str | None:
    """Name of the secret that the host's endpoint asks for."""
    endpoint = host.endpoint
    return endpoint.bearer_from if isinstance(endpoint, _WITH_BEARER) else None
