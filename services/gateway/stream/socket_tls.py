"""The websocket over TLS, where the end takes a round trip and transports would buffer more."""

from __future__ import annotations

from asyncio.transports import BaseTransport

from services.gateway.stream.socket import StreamSocket

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
