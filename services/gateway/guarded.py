"""uvicorn's HTTP connection, which is not kept for whoever says or takes nothing.

uvicorn alone waits for ever for a request's head and body, and for a client that does not read.
"""

from __future__ import annotations

import logging
from typing import Any

import h11
import msgspec
from h11._connection import DEFAULT_MAX_INCOMPLETE_EVENT_SIZE
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from services.gateway.connections import Connections, Visitor
from services.gateway.strict import StrictConnection

CLOSE_S = 5.0
UNREADABLE = "Invalid HTTP request received."
"""What uvicorn has to say of each; anybody may send any number of them, and they are counted."""
logging.getLogger("uvicorn.error").addFilter(lambda line: line.msg != UNREADABLE)
LATE = b"this request has not come in time\n"


class Waits(msgspec.Struct, frozen=True):
    """How long clients are waited for."""

    head_s: float = 10.0
    """From the connection, or the end of `idle_s`, to the whole head."""
    idle_s: float = 75.0
    """From an answer to the first byte of the next request. Longer than clients keep a connection:
    one that is closed as a request comes has that fail."""
    stall_s: float = 30.0
    """Without a byte of a body, or without the client's taking anything."""
    rate: int = 4096
    """Bytes a second that have to come, or to be taken, once `stall_s` have passed."""


class GuardedHttp(H11Protocol):
    """One connection; `check` has to be called now and then."""

    def __init__(
        self,
        *,
        connections: Connections,
        visitor: Visitor,
        waits: Waits,
        app_state: Any,
        **options: Any,
    ) -> None:
        super().__init__(app_state={**app_state, "visitor": visitor}, **options)
        self.conn = StrictConnection(h11.SERVER, DEFAULT_MAX_INCOMPLETE_EVENT_SIZE)
        self.timeout_keep_alive = waits.idle_s  # type: ignore[assignment]
        self._connections = connections
        self._visitor = visitor
        self._waits = waits
        self._head_due = 0.0
        self._closing = 0.0
        self._checked = 0.0
        self._got = 0
        self._body_of: RequestResponseCycle | None = None
        self._body_from = 0.0
        self._body_before = 0
        self._got_before = 0
        self._came = 0.0
        """When something of the body came last."""
        self._resumed = 0
        self._unread: tuple[int, int] | None = None
        self._taken = 0.0
        """Since when nothing to speak of was taken."""

    def connection_made(self, transport: Any) -> None:
        """The head has to come soon."""
        super().connection_made(transport)
        self._visitor.transport = transport
        self._head_due = self.loop.time() + self._waits.head_s

    def connection_lost(self, exc: Exception | None) -> None:
        """Its place is free."""
        self._visitor.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes."""
        self._got += len(data)
        super().data_received(data)

    def resume_writing(self) -> None:
        """Most of what was written has been taken."""
        self._resumed += 1
        super().resume_writing()

    def on_response_complete(self) -> None:
        """The next head may take the time between requests as well."""
        self._head_due = self.loop.time() + self.timeout_keep_alive + self._waits.head_s
        self._visitor.idle()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what can't be read, and close."""
        self._note("malformed")
        super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Anybody can ask for that, any number of times: no line in the log."""

    def check(self, now: float) -> None:
        """End what has taken too long."""
        passed, self._checked = now - self._checked, now
        if self._is_stuck(now):
            self._note("reader")
            self.transport.abort()
        elif self.transport.is_closing():
            # All has been taken, so only the end of TLS is missing; else the client goes on taking.
            self._closing = self._closing or now
            if not self.transport.get_write_buffer_size() and now - self._closing >= CLOSE_S:
                self.transport.abort()
        elif self.cycle is None or self.cycle.response_complete:
            if now >= self._head_due:
                self._end("silent" if not self._got else "head")
        elif self.conn.their_state is h11.SEND_BODY and self._body_is_late(now, passed):
            self._end("body")

    def _is_stuck(self, now: float) -> bool:
        """Whether the client takes nothing, or next to nothing, of what is there for it."""
        size, before = self.transport.get_write_buffer_size(), self._unread
        if before is None or not size or self._resumed != before[0]:
            self._unread, self._taken = (self._resumed, size) if size else None, now
            return False
        due = self._waits.rate * self._waits.stall_s if self.flow.write_paused else 1
        if before[1] - size >= due:
            self._unread, self._taken = (self._resumed, size), now
            return False
        if not self.flow.write_paused and size > before[1]:
            self._unread = (self._resumed, size)
        return now - self._taken >= self._waits.stall_s

    def _body_is_late(self, now: float, passed: float) -> bool:
        """Whether nothing of the body comes, or less than has to."""
        if self._body_of is not self.cycle:
            self._body_of, self._body_from, self._came = self.cycle, now, now
            self._body_before = self._got_before = self._got
            return False
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            # It is our turn.
            self._body_from += passed
            self._came = now
            return False
        if self._got != self._got_before:
            self._got_before, self._came = self._got, now
        if now - self._came >= self._waits.stall_s:
            return True
        due = self._waits.rate * (now - self._body_from - self._waits.stall_s)
        return self._got - self._body_before < due

    def _end(self, why: str) -> None:
        """Close, and say so to whoever has begun a request and got no answer."""
        self._note(why)
        cycle = self.cycle
        waiting = cycle is not None and not cycle.response_complete
        if waiting:
            # Whatever the application answers now goes nowhere.
            cycle.disconnected = True
            cycle.message_event.set()
        if why != "silent" and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._say_late()
        self.transport.close()

    def _say_late(self) -> None:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        for event in (
            h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
            h11.Data(data=LATE),
            h11.EndOfMessage(),
        ):
            if (data := self.conn.send(event)) is not None:
                self.transport.write(data)

    def _note(self, why: str) -> None:
        self._connections.note(why, self.client[0] if self.client else "")
