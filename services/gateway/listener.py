"""The listening socket: TLS, the address that others find, open files."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import socket
from pathlib import Path

import msgspec
from uvicorn.middleware.proxy_headers import _TrustedHosts

from contracts.errors import Reason
from contracts.wire import HttpError
from services.gateway.access.address import counted
from services.gateway.connections import Connections, Most
from services.gateway.errors import failure_body
from services.gateway.guarded import Waits
from services.gateway.server import HttpServer, address, bound
from services.gateway.settings import Settings
from services.gateway.site import Site
from services.gateway.stream.connection import FRAME_LIMIT, PING_S
from services.gateway.stream.socket import StreamSocket, TlsSocket
from services.process import telemetry, tls
from services.process.backoff import delay
from services.process.files import write_shared
from services.process.run import Fatal
from services.process.troubles import ProcessTroubles

DRAIN_S = 3.0
ANNOUNCE_S = (0.1, 5.0)
"""First and longest wait before the address is written again, when it could not be."""
SPARE_FILES = 256
"""Open files besides the websockets: NATS, tables, requests on their way."""
OWN_FILES = 128
"""Those among them that no connection gets."""
FULL = HttpError(503, Reason.UNAVAILABLE, "too many connections are open: try again", "")

log = telemetry.get_logger()


class Listener:
    """What the gateway listens with, while it does."""

    def __init__(
        self,
        site: Site,
        server: HttpServer,
        door: asyncio.Task[None],
        connections: Connections,
        url: str,
        certificate: str,
    ) -> None:
        """Use `Listener.start`."""
        self.connections = connections
        self.url = url
        self.certificate = certificate
        """That clients are shown (PEM); empty: plain HTTP."""
        self._site = site
        self._server = server
        self._door = door

    @classmethod
    async def start(cls, site: Site, waits: Waits = Waits()) -> Listener:  # noqa: B008
        """Listen. Raises Fatal if the address, or TLS where it is wanted, can't be used."""
        settings = site.settings
        certificate = shown_certificate(settings)
        scheme = "https" if certificate else "http"
        listening = _bound(settings)
        where = address(settings.host, listening)
        names = {where, *(address(name, listening) for name in ("localhost", "127.0.0.1"))}
        connections = connections_of(settings)
        site.app.origins |= {f"{scheme}://{name}" for name in names}
        if site.oauth is not None:
            site.oauth.listening(f"{scheme}://{where}")
        door = asyncio.create_task(site.door.run())
        await site.door.ready.wait()
        server = await HttpServer.start(
            site.app,
            listening,
            connections,
            waits,
            msgspec.json.encode(failure_body(FULL)),
            ws=TlsSocket if certificate else StreamSocket,
            ws_max_size=FRAME_LIMIT,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ws_per_message_deflate=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            # Python's contexts speak TLS 1.2 and newer.
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            timeout_graceful_shutdown=int(DRAIN_S),
        )
        return cls(site, server, door, connections, f"{scheme}://{where}", certificate)

    async def stop(self) -> None:
        """Close streams so that their clients come back, then finish running requests."""
        self._site.door.close()
        self._site.feed.release_waiters()
        self._site.event_streams.end_all()
        self._site.parts.access.over.set()
        await self._site.streams.drain(DRAIN_S)
        await self._server.stop()
        self._door.cancel()
        await asyncio.wait((self._door,))
        await self._site.linking.close()
        await self._site.host_links.close()


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
    of_user = min(settings.max_user_connections, max(1, most // 2))
    return msgspec.structs.replace(settings, max_connections=most, max_user_connections=of_user)


def connections_of(settings: Settings) -> Connections:
    """Counts connections, so that there are open files for those that are known.

    As many requests as websockets may be under way, where the limit of open files allows it.
    """
    most = 2 * settings.max_connections + OWN_FILES
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        most = min(most, max(2, soft - OWN_FILES))
    trusted = _TrustedHosts(list(settings.trusted_proxies))

    def counts_as(address: str) -> str:
        """A proxy's connections are those of many."""
        return "" if address in trusted else counted(address)

    return Connections(Most(most, settings.max_address_connections), counts_as)


def announce_file(data: Path) -> Path:
    """Where the CLI finds the gateway of this data folder."""
    return data / "gateway.json"


def announce(data: Path, url: str, certificate: str = "") -> None:
    """Write the address in use, and the certificate (PEM) that is shown there."""
    content = {"url": url} | ({"certificate": certificate} if certificate else {})
    write_shared(announce_file(data), msgspec.json.encode(content))


async def announced(data: Path, url: str, certificate: str, troubles: ProcessTroubles) -> None:
    """`announce`, for as long as it takes: the disk may be full."""
    failures = 0
    while True:
        try:
            announce(data, url, certificate)
        except OSError as error:
            failures += 1
            text = f"its address can't be written into the data folder ({error.strerror})"
            hint = "Make room there; until then, name the gateway with METAMCP_URL."
            troubles.tell("gateway_not_announced", text, hint)
            await asyncio.sleep(delay(failures, *ANNOUNCE_S, random.random()))
        else:
            troubles.over("gateway_not_announced")
            return


async def withdraw(data: Path) -> None:
    """Take it back, if that can be."""
    with contextlib.suppress(OSError):
        announce_file(data).unlink()


def _bound(settings: Settings) -> socket.socket:
    try:
        return bound(settings.host, settings.port)
    except OSError as error:
        raise Fatal(
            f"The gateway can't listen on {settings.host}:{settings.port}:"
            f" {error.strerror or error}.",
            "Choose another with METAMCP_GATEWAY_PORT (0: a free one) or METAMCP_GATEWAY_HOST.",
        ) from error
