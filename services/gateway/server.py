"""uvicorn inside our loop, for whatever is served over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
from typing import Any

import uvicorn

from services.gateway.acceptor import Acceptor
from services.gateway.connections import Connections, Visitor
from services.gateway.guarded import GuardedHttp, Waits
from services.process import telemetry

LOOK_AT_ONCE = 16
"""Connections that are looked at before others get their turn."""
TICK_S = 0.1
"""As uvicorn itself."""
LOOK_TICKS = 5
"""How often connections are looked at."""
END_TICK_S = 0.01
"""How often it is looked, at the end, whether the last of them has gone."""
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
    b"retry-after: 1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
)
GOODBYE_S = 0.5
"""How long a client may take to confirm the end of TLS when the gateway stops; idle ones don't."""


log = telemetry.get_logger()


class HttpServer(uvicorn.Server):
    """One server. Signals belong to `services.process.run`."""

    def __init__(
        self,
        config: uvicorn.Config,
        listening: sockets.socket,
        connections: Connections,
        waits: Waits,
        refusal: bytes,
    ) -> None:
        """Use `HttpServer.start`."""
        super().__init__(config)
        self._connections = connections
        self._waits = waits
        self._refusal = FULL % (len(refusal), refusal)
        self._is_up = asyncio.Event()
        self._ending = asyncio.Event()
        self._serving = asyncio.create_task(self.serve(sockets=[listening]))

    @classmethod
    async def start(
        cls,
        app: Any,
        listening: sockets.socket,
        connections: Connections,
        waits: Waits = Waits(),  # noqa: B008  # it is frozen
        refusal: bytes = b"{}",
        **options: Any,
    ) -> HttpServer:
        """Return once connections are accepted; `options` are those of uvicorn's `Config`.

        `refusal`: the JSON of an answer to whom there is no room for.
        """
        common: dict[str, Any] = {"lifespan": "off", "log_config": None, "log_level": "warning"}
        common |= {"access_log": False, "server_header": False}
        config = uvicorn.Config(app, http="h11", **common, **options)
        one = cls(config, listening, connections, waits, refusal)
        started = asyncio.create_task(one._is_up.wait())
        await asyncio.wait((one._serving, started), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if one._serving.done():
            one._serving.result()
        return one

    async def stop(self) -> None:
        """Accept nobody any more and finish running requests."""
        self.should_exit = True
        self._ending.set()
        await self._serving

    async def startup(self, sockets: list[sockets.socket] | None = None) -> None:
        """Accept by ourselves, and say when that has begun."""
        await self.lifespan.startup()
        tls, head_s = self.config.ssl, self._waits.head_s
        # What uvicorn asks of its servers, these do as well.
        self.servers: list[Any] = [
            Acceptor(one, self._connections, self._connection, tls, head_s, self._refusal)
            for one in sockets or ()
        ]
        self.started = True
        self._is_up.set()

    def _connection(self, visitor: Visitor) -> asyncio.Protocol:
        return GuardedHttp(
            connections=self._connections,
            visitor=visitor,
            waits=self._waits,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    async def on_tick(self, counter: int) -> bool:
        """Look at all connections now and then."""
        if counter % LOOK_TICKS == 0:
            try:
                await self._look()
            except Exception:
                log.exception("connections_not_looked_at")
        return await super().on_tick(counter)

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for n, one in enumerate(list(self.server_state.connections), 1):
            if isinstance(one, GuardedHttp):
                one.check(now)
            if n % LOOK_AT_ONCE == 0:
                # A thousand that came together are ended together.
                await asyncio.sleep(0)
        self._connections.tell(now)

    async def main_loop(self) -> None:
        """Tick as uvicorn does, but end at once: it would be a tick late."""
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._ending.wait()

    async def shutdown(self, sockets: list[sockets.socket] | None = None) -> None:
        """Wait for running requests, and for no client that does not confirm its goodbye."""
        for closed in (*self.servers, *(sockets or ())):
            closed.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        cutting = asyncio.get_running_loop().call_later(GOODBYE_S, self._cut)
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                state = self.server_state
                while state.connections or state.tasks:  # noqa: ASYNC110 - uvicorn has no event
                    await asyncio.sleep(END_TICK_S)
                for closed in self.servers:
                    await closed.wait_closed()
        except TimeoutError:
            running = list(self.server_state.tasks)
            log.warning("requests_cut_at_the_end", requests=len(running))
            for task in running:
                task.cancel()
        finally:
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
