"""HTTP connections that can't be held for ever by who says nothing, or reads nothing.

Each has a deadline for what it waits for; when all places are taken, the one that has waited for
its client the longest makes way. So silent clients close nobody else out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 512
HEAD_S = 10.0
"""For the whole head of a request, from its first byte; for the first one from the beginning."""
BODY_S = 30.0
"""For the whole body, from the end of the head."""
REST_S = 75.0
"""Between two requests."""
STALL_S = 30.0
"""An answer of which the client takes nothing for so long is given up."""
GRACE_S = 5.0
"""So much later than whoever has the same limit, and can tell the client."""
TOLD_S = 60.0

log = logging.getLogger("space")


class Phase(Enum):
    """What a connection waits for."""

    HEAD = auto()
    BODY = auto()
    REST = auto()
    READER = auto()
    """The client has to take what was sent."""
    ANSWER = auto()
    """The app; the client has done its part, so there is no limit here."""


class Connection(H11Protocol):
    """uvicorn's own, with deadlines."""

    most: ClassVar[int] = MOST
    limits: ClassVar[Mapping[Phase, float]] = {
        Phase.HEAD: HEAD_S,
        Phase.BODY: BODY_S + GRACE_S,
        Phase.REST: REST_S + GRACE_S,
        Phase.READER: STALL_S,
    }
    """Seconds."""
    _told: ClassVar[float] = float("-inf")

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._phase: Phase | None = None
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._unread = False
        self._left = 0
        """Bytes that the client had not taken at the last look."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._look()
        if len(self.connections) > self.most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """See H11Protocol. What was answered may not be on its way yet."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        super().pause_writing()
        self._unread = True
        self._look()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        super().resume_writing()
        self._unread = False
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._enter(None)
        super().connection_lost(exc)

    def _look(self) -> None:
        """See what it waits for now, and for how long it may."""
        phase = self._waits_for()
        if phase is not self._phase:
            self._enter(phase)

    def _waits_for(self) -> Phase:
        if self._unread or self.transport.is_closing():
            return Phase.READER
        if self.conn.their_state is h11.SEND_BODY:
            return Phase.BODY
        if self.conn.their_state is h11.IDLE:
            begun = self.cycle is None or self.conn.trailing_data[0]
            return Phase.HEAD if begun else Phase.REST
        return Phase.ANSWER

    def _enter(self, phase: Phase | None) -> None:
        self._phase, self._since = phase, self.loop.time()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if phase in self.limits:
            self._left = self.transport.get_write_buffer_size()
            self._timer = self.loop.call_later(self.limits[phase], self._expire)

    def _expire(self) -> None:
        """The limit is over; a client that goes on reading may go on."""
        left = self.transport.get_write_buffer_size()
        if self._phase is Phase.READER and left < self._left:
            self._left = left
            self._timer = self.loop.call_later(self.limits[Phase.READER], self._expire)
        else:
            self._give_up()

    def _give_up(self) -> None:
        """Close it at once, whatever is on the way."""
        self._enter(None)
        self.connections.discard(self)
        self.transport.abort()

    def _make_room(self) -> None:
        """Give up the connection that has waited for its client the longest."""
        others = (one for one in self.connections if isinstance(one, Connection))
        waiting = [one for one in others if one is not self and one._timer is not None]
        if waiting:
            min(waiting, key=lambda one: one._since)._give_up()
        now = self.loop.time()
        if now - Connection._told >= TOLD_S:
            Connection._told = now
            text = "all %d connections are taken: those whose clients say nothing are closed"
            log.warning(text, self.most)
