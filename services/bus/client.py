"""nats-py with a short way in and out: raw messages off the socket, and many at once onto it.

The usual way in (header dictionary, queue and task per subscription) costs three times as much, and
loses the order between two subscriptions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, TypeAlias

import nats.errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.subscription import Subscription
from nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    OutboundBufferLimitError,
)

from services.bus import tls as bus_tls
from services.bus.parser import DirectParser, Handler, Message
from services.process.tls import NOTHING, ClientFiles

__all__ = ["DirectClient", "Handler", "Message"]

Outgoing: TypeAlias = tuple[str, str, bytes, bytes]
"""Subject, reply subject, header block (or nothing), payload."""
CHUNK = 256 * 1024
"""Bytes handed to the socket at a time."""


class DirectClient(Client):
    """A nats-py client whose direct subscriptions keep the order of the socket."""

    def __init__(self, tls: ClientFiles = NOTHING) -> None:
        super().__init__()
        self._tls = tls
        self._ps = DirectParser(self)

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

    async def subscribe_direct(
        self, subject: str, handler: Handler, queue: str = ""
    ) -> Subscription:
        """Subscribe; `handler` runs inside the read loop: it must be quick and must not raise."""

        async def never_called(_: Any) -> None:
            """nats-py wants a coroutine; the parser never queues anything for it."""

        never_called.direct = handler  # type: ignore[attr-defined]
        return await self.subscribe(subject, queue, cb=never_called)

    async def publish_all(self, messages: Iterable[Outgoing]) -> None:
        """Send messages in order.

        A header block begins with `NATS/1.0` and ends with an empty line; nothing here looks into
        it. Raises what `publish` raises; without a connection nothing is kept to be sent later.
        """
        if self.is_closed:
            raise ConnectionClosedError
        if self.is_draining_pubs:
            raise ConnectionDrainingError
        if not self.is_connected:
            raise OutboundBufferLimitError
        parts: list[bytes] = []
        size = 0
        for subject, reply, head, payload in messages:
            if len(payload) > self._max_payload:
                raise MaxPayloadError
            if head:
                line = f"HPUB {subject} {reply} {len(head)} {len(head) + len(payload)}\r\n"
            else:
                line = f"PUB {subject} {reply} {len(payload)}\r\n"
            part = b"%b%b%b\r\n" % (line.encode(), head, payload)
            parts.append(part)
            size += len(part)
            if size > CHUNK:
                await self._put(parts)
                parts, size = [], 0
        await self._put(parts)

    async def _put(self, parts: list[bytes]) -> None:
        self.stats["out_msgs"] += len(parts)
        data = b"".join(parts)
        self.stats["out_bytes"] += len(data)
        await self._send_command(data)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()
