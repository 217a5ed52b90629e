"""The sessions of hosts: one door for each registration, one session for each credential.

Each host has its own places and its own queue before them: a slow or sick one holds nobody else up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from contracts.facts import FailureKind
from contracts.host import Execute, Host, StreamableHttp, operated
from services.executor.attempt.call import Call, HostError, HostSession, Opening, Spooled
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.breakers import Breakers, CallGuard
from services.executor.hosts.kinds import open_session
from services.keys.secrets import MissingSecret, Secrets, advice
from services.process import telemetry

MOST_SESSIONS = 32
"""Sessions kept open to one host; the one that has rested longest makes way for another."""

log = telemetry.get_logger()

Close = Callable[[HostSession], None]
_WITH_BEARER = (StreamableHttp, Execute)


class _Room:
    """One session and the calls in it."""

    def __init__(self, session: HostSession) -> None:
        self.session = session
        self.inside = 0


class Door:
    """The way to one registration of a host."""

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
        self._rooms: dict[str | None, _Room] = {}

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
                room = self._room(bearer)
                room.inside += 1
                try:
                    with self._guard.watch(call, call.deadline, waited=waited):
                        return await room.session.call(call)
                finally:
                    room.inside -= 1
            finally:
                self._places.release()
        finally:
            self.inside -= 1

    async def warm(self, bearer: str | None) -> None:
        """Open the session, if it is not open. Raises HostError."""
        await self._room(bearer).session.open()

    def close(self) -> None:
        """End every session at once."""
        rooms, self._rooms = self._rooms, {}
        for room in rooms.values():
            self._close(room.session)

    def _room(self, bearer: str | None) -> _Room:
        room = self._rooms.pop(bearer, None)
        if room is None:
            room = _Room(open_session(self._opening._replace(bearer=bearer)))
            resting = [known for known, other in self._rooms.items() if not other.inside]
            if len(self._rooms) >= MOST_SESSIONS and resting:
                self._close(self._rooms.pop(resting[0]).session)
        self._rooms[bearer] = room
        return room


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
