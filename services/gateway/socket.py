"""A websocket connection whose outgoing queue is bounded and whose stalled peer can be dropped.

ASGI alone offers neither: its `send` waits for ever on a peer that doesn't read.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

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
        self._waiting: deque[bytes] = deque()
        self.queued = 0

    def handle_connect(self, event: Request) -> None:
        """Hand the connection itself to the application, besides the ASGI channel."""
        super().handle_connect(event)
        if not self.transport.is_closing():
            self.scope["state"]["socket"] = self

    @property
    def open(self) -> bool:
        """Whether frames can still be sent."""
        return not (self.disconnected or self.close_sent or self.transport.is_closing())

    def offer(self, frame: bytes) -> None:
        """Send a finished frame, or keep it while the peer is busy; never waits."""
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
