"""Takes connections from the listening socket: who finds no room is told so, and nobody is kept.

asyncio's own servers can do neither: they accept until there are no open files left.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable

from services.gateway.connections import Connections, Visitor

AT_ONCE = 4
"""Connections that are taken one after the other."""
ROOM = 64
"""How many make room when there are no open files left."""
BACKLOG = 2048
REST_S = 0.006
"""How long others have their turn then: a crowd gets a part of this process."""
PAUSE_S = 0.1
"""How long nobody is accepted when there are no open files left."""
LINGERING, LINGER_S = 64, 1.0
"""How many that were turned away may still read why, and for how long."""
ENDING_S = 5.0
"""How long a client may take to confirm the end of TLS."""

Make = Callable[[Visitor], asyncio.Protocol]


class Acceptor:
    """As uvicorn knows its servers: `close` and `wait_closed`."""

    def __init__(
        self,
        listening: socket.socket,
        connections: Connections,
        make: Make,
        tls: ssl.SSLContext | None,
        handshake_s: float,
        refusal: bytes,
    ) -> None:
        """`refusal` is what those get for whom there is no room, where they would understand it."""
        self._listening = listening
        self._connections = connections
        self._make = make
        self._tls = tls
        self._handshake_s = handshake_s
        self._refusal = refusal
        self._loop = asyncio.get_running_loop()
        self._beginning: dict[asyncio.Task[None], Visitor] = {}
        self._lingering: deque[socket.socket] = deque()
        self._resuming: asyncio.TimerHandle | None = None
        listening.listen(BACKLOG)
        self._loop.add_reader(listening.fileno(), self._accept)

    def close(self) -> None:
        """Accept nobody any more, and give up who has only begun."""
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._listening.fileno())
        for visitor in self._beginning.values():
            visitor.cut()
        while self._lingering:
            self._lingering.popleft().close()

    async def wait_closed(self) -> None:
        """Wait until those have gone."""
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # There are no open files left: somebody has to go.
                self._connections.make_room(ROOM)
                self._rest(PAUSE_S)
                return
            sock.setblocking(False)
            visitor = self._connections.enter(str(address[0]), sock)
            if visitor is None:
                self._refuse(sock)
            else:
                task = self._loop.create_task(self._begin(visitor, sock))
                self._beginning[task] = visitor
                task.add_done_callback(self._begun)
        self._rest(REST_S)

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening.fileno())
        self._resuming = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._listening.fileno(), self._accept)

    async def _begin(self, visitor: Visitor, sock: socket.socket) -> None:
        protocol = self._make(visitor)
        limits = {} if self._tls is None else {"ssl_handshake_timeout": self._handshake_s}
        limits |= {} if self._tls is None else {"ssl_shutdown_timeout": ENDING_S}
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=self._tls, **limits
            )
        except OSError:
            # Gone again, or no TLS in time: ssl's errors and timeouts are such, too.
            visitor.leave()
            sock.close()

    def _begun(self, task: asyncio.Task[None]) -> None:
        visitor = self._beginning.pop(task)
        if task.cancelled() or task.exception() is not None:
            visitor.leave()
            visitor.cut()

    def _refuse(self, sock: socket.socket) -> None:
        """Say why, where that can be read. Who has sent something would lose what we say, if the
        connection were closed now."""
        if self._tls is not None:
            sock.close()
            return
        with contextlib.suppress(OSError):
            sock.send(self._refusal)
            sock.shutdown(socket.SHUT_WR)
        self._lingering.append(sock)
        if len(self._lingering) > LINGERING:
            self._lingering.popleft().close()
        self._loop.call_later(LINGER_S, self._let_go, sock)

    def _let_go(self, sock: socket.socket) -> None:
        with contextlib.suppress(ValueError):
            self._lingering.remove(sock)
        sock.close()
