"""nats-py with a short way in: direct subscriptions get raw messages straight from the socket.

The usual way (header dictionary, queue and task per subscription) costs three times as much, and
loses the order between two subscriptions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import nats.errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.subscription import Subscription

from services.bus import tls as bus_tls
from services.process.tls import NOTHING, ClientFiles

_LINE = len("NATS/1.0")


class Message(NamedTuple):
    """A message as it came off the socket."""

    subject: str
    reply: str
    data: bytes
    head: bytes
    """The raw header block, empty if there is none."""

    @property
    def status(self) -> str:
        """Inline status such as `404`, empty for an ordinary message."""
        return (
            self.head[_LINE + 1 : _LINE + 4].decode()
            if self.head[_LINE : _LINE + 1] == b" "
            else ""
        )

    @property
    def description(self) -> str:
        """The words behind an inline status."""
        return self.head.split(b"\r\n", 1)[0][_LINE + 5 :].decode() if self.status else ""

    def header(self, name: bytes) -> bytes:
        """Return one header's value without parsing the others; empty if it is not there."""
        start = self.head.find(b"\r\n" + name + b": ")
        if start < 0:
            return b""
        start += len(name) + 4
        return self.head[start : self.head.index(b"\r\n", start)]

    def headers(self) -> dict[str, str]:
        """Parse the header block."""
        lines = self.head.decode("utf-8", "replace").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        return {name: value.strip() for name, _, value in pairs}


Handler = Callable[[Message], None]


class DirectClient(Client):
    """A nats-py client whose direct subscriptions keep the order of the socket."""

    def __init__(self, tls: ClientFiles = NOTHING) -> None:
        super().__init__()
        self._tls = tls

    async def _connect_to_server(self, s: Srv) -> None:
        if s.uri.scheme in ("ws", "wss"):
            await super()._connect_to_server(s)
            return
        # nats-py's own words, but for the transport.
        s.last_attempt = time.monotonic()
        if not self._transport:
            self._transport = bus_tls.Transport()  # type: ignore[no-untyped-call]
        limit_s = self.options["connect_timeout"]
        await self._transport.connect(s.uri, DEFAULT_BUFFER_SIZE, limit_s)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # Called between the server's greeting and our CONNECT with the password.
        if initial_connection and self._current_server is not None:
            bus_tls.settle(info, self._current_server.uri, self._tls)
        await super()._process_info(info, initial_connection)

    async def _process_err(self, err_msg: str) -> None:
        if "permissions violation" not in err_msg:
            await super()._process_err(err_msg)
            return
        # It comes in lower case, and subjects may differ in case alone: the line is still there.
        line = bytes(self._ps.buf).partition(b"\r\n")[0].decode(errors="replace")
        await self._error_cb(nats.errors.Error(line))

    async def subscribe_direct(self, subject: str, handler: Handler) -> Subscription:
        """Subscribe; `handler` runs inside the read loop: it must be quick and must not raise."""

        async def never_called(_: Any) -> None:
            """nats-py wants a coroutine; `_process_msg` below never queues anything for it."""

        never_called.direct = handler  # type: ignore[attr-defined]
        return await self.subscribe(subject, cb=never_called)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        subscription = self._subs.get(sid)
        handler: Handler | None = getattr(getattr(subscription, "_cb", None), "direct", None)
        if handler is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        handler(Message(subject.decode(), reply.decode(), data, headers or b""))
