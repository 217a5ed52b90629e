"""A websocket connection whose outgoing queue is bounded and whose stalled peer can be dropped.

ASGI alone offers neither: its `send` waits for ever on a peer that doesn't read.
"""

from __future__ import annotations

from asyncio import TimerHandle
from asyncio.transports import BaseTransport
from collections import deque
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request

from services.gateway.connections import Visitor

SLOW = 4008
CLOSE_S = 5.0


class StreamSocket(WebSocketsSansIOProtocol):
    """uvicorn's connection; `offer` takes finished frames, shared by many connections.

    The application finds it as `scope["state"]["socket"]`.
    """

    limit: int = 1024 * 1024
    """Bytes that may wait while the peer doesn't read; more closes with 4008."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._visitor: Visitor = self.app_state["visitor"]
        self._arrived: list[bytes] = []
        """Messages that nobody has taken; for the first of them there is an event in the queue."""
        self._waiting: deque[bytes] = deque()
        self._cut: TimerHandle | None = None
        self.queued = 0

    def data_received(self, data: bytes) -> None:
        """Answer what can't be read as a handshake too; uvicorn would wait for more of it."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            refusal = b"".join(self.conn.data_to_send())
            bad = self.conn.reject(HTTPStatus.BAD_REQUEST, "this is no websocket handshake\n")
            self.transport.write(refusal or bad.serialize())
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """Hand the connection itself to the application, besides the ASGI channel."""
        super().handle_connect(event)
        if not self.transport.is_closing():
            self.scope["state"]["socket"] = self

    async def send(self, message: Any) -> None:
        """Send one of the application's messages; a refusal completes the handshake as well."""
        await super().send(message)
        self.handshake_complete = self.handshake_complete or self.close_sent

    def known(self) -> None:
        """Somebody has shown whose it is: it makes room for nobody."""
        self._visitor.known()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to be cut off."""
        self._visitor.leave()
        super().connection_lost(exc)
        if self._cut is not None:
            self._cut.cancel()

    def handle_ping(self) -> None:
        """Answer, unless the peer doesn't read: the next answer will be as good."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        """Take the next part of a message; any number of empty ones takes no room."""
        if event.data or event.fin:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Keep a whole message for `messages`; a text has to be UTF-8 (RFC 6455, 8.1)."""
        data = b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "text":
            try:
                data.decode()
            except UnicodeDecodeError:
                self.conn.fail(CloseCode.INVALID_DATA, "a text that is not UTF-8")
                self.handle_parser_exception()
                return
        if not self._arrived:
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        self._arrived.append(data)
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    @property
    def open(self) -> bool:
        """Whether frames can still be sent."""
        return not (self.disconnected or self.close_sent or self.transport.is_closing())

    async def messages(self) -> list[bytes]:
        """Wait for messages; all that have come, in order. None, when the connection is over."""
        await self.queue.get()
        messages, self._arrived = self._arrived, []
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        return messages

    def offer(self, frame: bytes) -> None:
        """Send finished frames, or keep them while the peer is busy; never waits."""
        if not self.open:
            return
        if self.writable.is_set() and not self._waiting:
            self.transport.write(frame)
            return
        self._waiting.append(frame)
        self.queued += len(frame)
        if self.queued > self.limit:
            self.shut(SLOW, "too slow: resume from your last sequence")

    def offer_if_idle(self, frame: bytes) -> None:
        """Send a frame that may as well be lost: only if nothing waits."""
        if self.open and self.writable.is_set() and not self._waiting:
            self.transport.write(frame)

    async def room(self) -> bool:
        """Wait until nothing is queued; False if the connection has gone."""
        while self.open and (self._waiting or not self.writable.is_set()):
            await self.writable.wait()
        return self.open

    def resume_writing(self) -> None:
        """The peer reads again: send what waited, until it is busy once more."""
        super().resume_writing()
        while self._waiting and self.writable.is_set() and self.open:
            frame = self._waiting.popleft()
            self.queued -= len(frame)
            self.transport.write(frame)

    def let_go(self) -> None:
        """The application is done: a peer that takes nothing more is cut off in 5 s."""
        if not self.disconnected:
            self._cut = self.loop.call_later(CLOSE_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """No pong in time: a peer that reads nothing can't be closed politely."""
        super().keepalive_timeout()
        self.loop.call_later(CLOSE_S, self.transport.abort)

    def shut(self, code: int, reason: str) -> None:
        """Close with a code; a peer that doesn't answer within 5 s is cut off."""
        if not self.open:
            return
        self._waiting.clear()
        self.queued = 0
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.writable.set()
        self.close_timer = self.loop.call_later(CLOSE_S, self.transport.abort)


BUFFERED = 64 * 1024
"""Bytes in the transport above which frames wait in the queue, as without TLS."""


class TlsSocket(StreamSocket):
    """What differs from a connection in the clear."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Keep little outside the queue, which is what is counted against a slow client."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=BUFFERED)

    def shutdown(self) -> None:
        """Say no second goodbye to a client whose end of TLS is all that is missing."""
        if not self.transport.is_closing():
            super().shutdown()
