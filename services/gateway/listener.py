"""The listening socket: uvicorn inside our loop, TLS, the address that others find, open files."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket as sockets
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from services.gateway.settings import Settings
from services.gateway.site import Site
from services.gateway.stream.connection import FRAME_LIMIT, PING_S
from services.gateway.stream.socket import StreamSocket, TlsSocket
from services.process import telemetry, tls
from services.process.files import write_shared
from services.process.run import Fatal

DRAIN_S = 3.0
GOODBYE_S = 0.5
"""How long a client may take to confirm the end of TLS when the gateway stops; idle ones don't."""
SPARE_FILES = 256
"""Open files besides the websockets: NATS, tables, requests on their way."""

log = telemetry.get_logger()


class Listener:
    """uvicorn inside our loop, without its signal handlers."""

    def __init__(self, site: Site) -> None:
        """Raises Fatal if TLS is wanted and its files can't be used."""
        settings = site.settings
        self._site = site
        self.certificate = shown_certificate(settings)
        self._server = _Server(
            uvicorn.Config(
                site.app,
                ws=TlsSocket if self.certificate else StreamSocket,
                ws_max_size=FRAME_LIMIT,
                ws_ping_interval=PING_S,
                ws_ping_timeout=PING_S,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                # Python's contexts speak TLS 1.2 and newer.
                ssl_certfile=settings.tls_cert,
                ssl_keyfile=settings.tls_key,
                timeout_graceful_shutdown=int(DRAIN_S),
            )
        )
        self._running: asyncio.Task[None] | None = None
        self._door: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen. Raises Fatal if the address can't be used."""
        settings = self._site.settings
        listening = _listen(settings.host, settings.port)
        port = listening.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        scheme = "https" if self.certificate else "http"
        self.url = f"{scheme}://{host}:{port}"
        names = {host, "localhost", "127.0.0.1"}
        self._site.app.origins |= {f"{scheme}://{name}:{port}" for name in names}
        self._door = asyncio.create_task(self._site.door.run())
        await self._site.door.ready.wait()
        self._running = asyncio.create_task(self._server.serve(sockets=[listening]))
        started = asyncio.create_task(self._server.is_up.wait())
        await asyncio.wait((self._running, started), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._running.done():
            self._running.result()

    async def stop(self) -> None:
        """Close streams so that their clients come back, then finish running requests."""
        self._site.door.close()
        self._site.hub.release_waiters()
        self._site.feeds.end_all()
        await self._site.streams.drain(DRAIN_S)
        self._server.should_exit = True
        if self._running is not None:
            await self._running
        if self._door is not None:
            self._door.cancel()
            await asyncio.wait((self._door,))
        await self._site.linking.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[sockets.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    async def shutdown(self, sockets: list[sockets.socket] | None = None) -> None:
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
        """Signals belong to `services.process.run`."""
        yield


def shown_certificate(settings: Settings) -> str:
    """The certificate (PEM) that clients are shown; none: plain HTTP. Raises Fatal."""
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None or key is None:
        return ""
    try:
        tls.check_pair(cert, key)
        certificate = tls.first_certificate(cert)
    except tls.TlsError as error:
        raise Fatal(
            f"The gateway can't use TLS: {error}.",
            "Both files are named by METAMCP_GATEWAY_TLS_CERT and METAMCP_GATEWAY_TLS_KEY.",
        ) from None
    if tls.others_may_read(key):
        log.warning("tls_key_readable_by_others", file=str(key), hint="chmod o-r")
    return certificate


def fitting(settings: Settings) -> Settings:
    """Raise the limit of open files for all websockets; where that can't be, allow fewer of those.

    Beyond that limit nobody is accepted any more: no request, and no refusal with 503 either.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = max(1, soft - SPARE_FILES)
    if most >= settings.max_connections:
        return settings
    log.warning("few_open_files", connections=most, wanted=settings.max_connections)
    return msgspec.structs.replace(settings, max_connections=most)


def announce_file(data: Path) -> Path:
    """Where the CLI finds the gateway of this data folder."""
    return data / "gateway.json"


def announce(data: Path, url: str, certificate: str = "") -> None:
    """Write the address in use, and the certificate (PEM) that is shown there."""
    content = {"url": url} | ({"certificate": certificate} if certificate else {})
    write_shared(announce_file(data), msgspec.json.encode(content))


async def withdraw(data: Path) -> None:
    """Take it back."""
    announce_file(data).unlink(missing_ok=True)


def _listen(host: str, port: int) -> sockets.socket:
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on what it accepts; uvloop always does.
    listening = sockets.socket(family, sockets.SOCK_STREAM, sockets.IPPROTO_TCP)
    listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Fatal(
            f"The gateway can't listen on {host}:{port}: {error.strerror or error}.",
            "Choose another with METAMCP_GATEWAY_PORT (0: a free one) or METAMCP_GATEWAY_HOST.",
        ) from error
    listening.setblocking(False)
    return listening
