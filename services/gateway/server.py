"""uvicorn inside our loop, for whatever is served over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
from typing import Any

import uvicorn

GOODBYE_S = 0.5
"""How long a client may take to confirm the end of TLS when the gateway stops; idle ones don't."""


class HttpServer(uvicorn.Server):
    """One server. Signals belong to `services.process.run`."""

    def __init__(self, config: uvicorn.Config, listening: sockets.socket) -> None:
        """Use `HttpServer.start`."""
        super().__init__(config)
        self._is_up = asyncio.Event()
        self._serving = asyncio.create_task(self.serve(sockets=[listening]))

    @classmethod
    async def start(cls, app: Any, listening: sockets.socket, **options: Any) -> HttpServer:
        """Return once connections are accepted; `options` are those of uvicorn's `Config`."""
        common: dict[str, Any] = {"lifespan": "off", "log_config": None, "log_level": "warning"}
        common |= {"access_log": False, "server_header": False}
        one = cls(uvicorn.Config(app, **common, **options), listening)
        started = asyncio.create_task(one._is_up.wait())
        await asyncio.wait((one._serving, started), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if one._serving.done():
            one._serving.result()
        return one

    async def stop(self) -> None:
        """Accept nobody any more and finish running requests."""
        self.should_exit = True
        await self._serving

    async def startup(self, sockets: list[sockets.socket] | None = None) -> None:
        """Say when it is done."""
        await super().startup(sockets)
        self._is_up.set()

    async def shutdown(self, sockets: list[sockets.socket] | None = None) -> None:
        """Wait for no client that does not confirm its goodbye."""
        cutting = asyncio.get_running_loop().call_later(GOODBYE_S, self._cut)
        await super().shutdown(sockets)
        cutting.cancel()

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            transport = connection.transport
            # asyncio's transport, but not uvloop's, is lost for us once it was closed twice.
            with contextlib.suppress(AttributeError):
                if transport.is_closing() and not transport.get_write_buffer_size():
                    transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave them alone."""
        yield


def bound(host: str, port: int) -> sockets.socket:
    """A socket bound to this address; port 0 takes a free one. Raises OSError."""
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on what it accepts; uvloop always does.
    listening = sockets.socket(family, sockets.SOCK_STREAM, sockets.IPPROTO_TCP)
    listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def address(host: str, listening: sockets.socket) -> str:
    """Host and port as they stand in a URL."""
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{listening.getsockname()[1]}"
