"""The door of one host: its places, the queue before them, and who shares a session with whom."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

from contracts.facts import FailureKind
from contracts.host import Host, Stdio, StreamableHttp
from services.executor.attempt.call import (
    Call,
    FreePlaces,
    HostError,
    HostPlace,
    HostSession,
    Opening,
    Spooled,
)
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.berths import Berths, Processes, board
from services.executor.hosts.breakers import CallGuard
from services.executor.hosts.kinds import open_session
from services.keys.secrets import HostSecrets
from services.outside.apart.pool import is_apart
from services.process import telemetry

MOST_SESSIONS = 32
"""Sessions open to one host; at the limit one that rests makes way, or the call waits."""

REST_S = 30.0
"""Further sessions with one host, of calls that share none, end when they have rested so long."""

USER_REST_S = 300.0
"""The first session of a user ends when it has rested so long."""

log = telemetry.get_logger()

Close = Callable[[HostSession, Callable[[], None]], None]
"""Ends a session, and calls back when it has ended."""
Key = tuple[HostSecrets, str]
"""Secrets, and whose sessions these are: a user's, or everybody's (empty)."""


class SessionRoom:
    """One session, the calls in it and its places."""

    def __init__(self, door: Door, key: Key, places: tuple[Berths, ...]) -> None:
        self._door = door
        self.key = key
        self.places = places
        self.session: HostSession
        self.inside = 0
        self.alone = False
        """It is for one call, and over after it."""
        self.closed = False
        """The call in it wants no other beside it."""
        self.empty_at = 0.0
        """Monotonic time since which it rests."""
        self.worked_at = -math.inf
        """Monotonic time at which the last call left."""

    def leave(self) -> None:
        """See `Guest.leave`."""
        self._door.end(self)


class Door:
    """The way to one registration of a host.

    Calls that may be made again share a session, so that one process does for many. One that may
    not has a session for itself while it runs: no other call can take it along when it dies.
    Calls of two users share one only where `Host.sessions` allows it, and never to a user's host.
    """

    def __init__(
        self,
        guard: CallGuard,
        opening: Opening,
        most_waiting: int,
        close: Close,
        processes: Processes,
    ) -> None:
        """`most_waiting`: calls that may wait for a place; `close` ends a session."""
        host = opening.host
        places = host.limits.max_concurrency
        self.seq = guard.seq
        self.host = opening.host
        self._guard = guard
        self.inside = 0
        """Calls in a session or before it."""
        self._opening = opening
        self._close = close
        self._places = FreePlaces(places)
        self._most = places + most_waiting
        self._process = isinstance(host.endpoint, Stdio)
        self._session = isinstance(host.endpoint, Stdio | StreamableHttp)
        self._sessions = _sharing(host)
        self._berths = Berths(MOST_SESSIONS)
        self._processes = processes
        self._rooms: dict[Key, list[SessionRoom]] = {}
        self._alone: set[SessionRoom] = set()
        self._callers: set[str] = set()
        """Users who have called: two of them at most."""
        self._trimming: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._closed = False

    async def call(self, call: Call, secrets: HostSecrets) -> dict[str, Any] | Spooled:
        """Wait for a place, then call. Raises HostError."""
        user = call.plan.user
        self._guard.check(user)
        if self.inside >= self._most:
            message = f"{self.inside} calls are in or before host {call.plan.host.id} already"
            raise HostError(FailureKind.UNREACHABLE, message)
        self.inside += 1
        try:
            await self._places.acquire()
            place = call.place = HostPlace(self._places)
            try:
                waited = self._guard.troubled(user) and await self._guard.turn(user)
                room = await self._enter(call, secrets)
                try:
                    with self._guard.watch(call, call.deadline, waited=waited):
                        return await room.session.call(call)
                finally:
                    self._leave(room, call)
            finally:
                place.give()
        finally:
            self.inside -= 1

    async def warm(self, secrets: HostSecrets) -> None:
        """Open the session that all share, if it is not open and there is room. Raises
        HostError."""
        key = secrets, ""
        rooms = self._rooms.get(key)
        if rooms:
            await rooms[0].session.open()
        elif self.spare:
            room = await self._add(key)
            self._rest(room)
            await room.session.open()

    async def looked_at(self, secrets: HostSecrets) -> SessionRoom | None:
        """The session in which the host is to be probed; None: there is no place for one. Raises
        HostError.

        It is the one in which calls are made: everybody's, or of a host that one user alone has
        called that user's. Of several users' sessions none is looked into: there is one that is
        nobody's yet, which the next user's first call gets.
        """
        self._check_open()
        if (room := self._looked_into(secrets)) is not None:
            return room
        if not self.spare:
            return None
        room = await self._add((secrets, ""))
        self._rest(room)
        return room

    @property
    def open(self) -> bool:
        """Whether there is a session."""
        return bool(self._rooms)

    @property
    def spare(self) -> bool:
        """Whether there is a place for a session more that nobody has to leave for."""
        return not (self._berths.full or (self._process and self._processes.full))

    def may_look(self, room: SessionRoom) -> bool:
        """Whether a probe may go on in this session."""
        return not room.key[1] or len(self._callers) < 2

    def _looked_into(self, secrets: HostSecrets) -> SessionRoom | None:
        rooms = list(self._rooms.get((secrets, ""), ()))
        if not rooms:
            every = (room for some in self._rooms.values() for room in some)
            rooms = [room for room in every if self.may_look(room)]
        return next((room for room in rooms if not room.inside), rooms[0] if rooms else None)

    def renew(self, known: KnownHost) -> None:
        """It is the way to this registration from now on: nothing but what the host says itself has
        changed."""
        self.seq, self.host = known.seq, known.host

    def close(self) -> None:
        """End every session at once; whoever waits for a place gets none any more."""
        self._closed = True
        if self._trimming is not None:
            self._trimming.cancel()
            self._trimming = None
        for room in [*self._alone, *(room for rooms in self._rooms.values() for room in rooms)]:
            self.end(room)

    def end(self, room: SessionRoom) -> None:
        """End a session; its places are free when it has ended."""
        if room.alone:
            self._alone.discard(room)
        else:
            rooms = self._rooms.get(room.key, [])
            if room not in rooms:
                return
            rooms.remove(room)
            if not rooms:
                del self._rooms[room.key]
        for berths in room.places:
            berths.leave(room)
        self._close(room.session, lambda: _given(room))

    async def _enter(self, call: Call, secrets: HostSecrets) -> SessionRoom:
        """The session for this call, with the call in it. Raises HostError."""
        self._check_open()
        key = secrets, "" if self._sessions == "shared" else call.plan.user
        if call.plan.user and len(self._callers) < 2:
            self._callers.add(call.plan.user)
        if self._session and (call.isolated or self._sessions == "task"):
            room = await self._add((secrets, call.plan.user), alone=True)
        else:
            closed = call.careful = self._process and not call.plan.replayable
            free = self._fitting(key, closed) or await self._adopted(key)
            room = free or await self._add(key, closed=closed)
            room.closed = closed
        room.inside += 1
        for berths in room.places:
            berths.work(room)
        return room

    def _leave(self, room: SessionRoom, call: Call) -> None:
        room.inside -= 1
        room.worked_at = time.monotonic()
        if room.alone:
            self.end(room)
        elif room.inside or room not in self._rooms.get(room.key, ()):
            return
        elif room.closed and call.called is None and call.course.death is None:
            # It was given up, and may be at work in there still.
            self.end(room)
        else:
            self._rest(room)

    def _rest(self, room: SessionRoom) -> None:
        room.empty_at = now = time.monotonic()
        for berths in room.places:
            berths.rest(room)
        rooms = self._rooms.get(room.key, [])
        if room in rooms:
            self._look_at(now, now + self._rest_s(room, rooms))

    def _look_at(self, now: float, due: float) -> None:
        """Have `_trim` called then, unless it is sooner."""
        if due == math.inf or (self._trimming is not None and self._due <= due):
            return
        if self._trimming is not None:
            self._trimming.cancel()
        self._due = due
        self._trimming = asyncio.get_running_loop().call_later(due - now, self._trim)

    def _trim(self) -> None:
        """End what has rested for long, and look again when the next one has."""
        self._trimming = None
        now, due = time.monotonic(), math.inf
        for rooms in list(self._rooms.values()):
            for room in [room for room in rooms if not room.inside]:
                until = room.empty_at + self._rest_s(room, rooms)
                if until <= now:
                    self.end(room)
                due = min(due, until if until > now else math.inf)
        self._look_at(now, due)

    def _check_open(self) -> None:
        """Whoever waited while the host was switched off is not to ask it. Raises HostError."""
        if self._closed:
            text = f"host {self.host.id} was switched off, or the executor stops"
            raise HostError(FailureKind.HOST_GONE, text, called=False)

    def _rest_s(self, room: SessionRoom, rooms: list[SessionRoom]) -> float:
        if room is not rooms[0]:
            return REST_S
        # Everybody's, or nobody's yet.
        return USER_REST_S if room.key[1] else math.inf

    def _fitting(self, key: Key, closed: bool) -> SessionRoom | None:
        """A session that is open and takes one call more."""
        rooms = self._rooms.get(key, ())
        return next((room for room in rooms if not (room.inside and (closed or room.closed))), None)

    async def _adopted(self, key: Key) -> SessionRoom | None:
        """The session that was nobody's, for this user's calls from now on."""
        secrets, user = key
        rooms = self._rooms.get((secrets, ""))
        if not user or not rooms or key in self._rooms:
            return None
        mine = self._processes.of(user)[:-1] if self._process else ()
        if any(berths.full for berths in mine):
            return None
        for berths in mine:
            await berths.take()
        room = rooms.pop()
        if not rooms:
            del self._rooms[secrets, ""]
        room.key, room.places = key, (self._berths, *mine, *room.places[1:])
        self._rooms[key] = [room]
        return room

    async def _add(self, key: Key, *, alone: bool = False, closed: bool = False) -> SessionRoom:
        """One session more, once there is a place; or one that has become free meanwhile."""
        places = (self._berths, *(self._processes.of(key[1]) if self._process else ()))
        room = SessionRoom(self, key, places)
        await board(places, room)
        try:
            self._check_open()
            if not alone and (free := self._fitting(key, closed)) is not None:
                _given(room)
                return free
            secrets = key[0]
            host = secrets.put_into(self.host)
            opening = self._opening._replace(
                host=host,
                bearer=secrets.bearer,
                hide=secrets.hide,
                isolated=alone,
                user=lambda: room.key[1],
            )
            room.session = open_session(opening)
        except BaseException:
            _given(room)
            raise
        if alone:
            room.alone = True
            self._alone.add(room)
        else:
            self._rooms.setdefault(key, []).append(room)
        return room


def _sharing(host: Host) -> str:
    """Who meets whom in one session; see `Host.sessions`. Over the connections to what users have
    brought no user's calls go beside another's, whatever it says: those answer as they like."""
    if not isinstance(host.endpoint, Stdio | StreamableHttp):
        return "user" if is_apart(host) else "shared"
    return "user" if is_apart(host) and host.sessions == "shared" else host.sessions


def _given(room: SessionRoom) -> None:
    for berths in room.places:
        berths.give(room)
