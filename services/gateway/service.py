"""Puts the gateway together and runs it inside a process's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket as sockets
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from contracts import subjects
from services import metrics, telemetry
from services.accounts import Accounts
from services.bus import Bus
from services.bus_all import ask_all
from services.gateway import http_misc, identity, metrics_page
from services.gateway import projection as tables
from services.gateway.actor import Desk
from services.gateway.app import Gateway
from services.gateway.history import History
from services.gateway.http_events import Feeds
from services.gateway.http_parts import Parts
from services.gateway.hub import Hub
from services.gateway.identity import FileIdentity, Identities, Identity, Principal
from services.gateway.intake import SUBMIT_SUBJECTS, Intake
from services.gateway.limits import Exchange, RateLimit
from services.gateway.linking import Linking
from services.gateway.mcp_door import Door
from services.gateway.settings import Settings
from services.gateway.socket import StreamSocket
from services.gateway.streams import FRAME_LIMIT, PING_S, RESET, Streams
from services.hub import Hub as HuggingFace
from services.join import join
from services.log import Log
from services.process import Fatal, Process
from services.projection import Projection, project, view_path
from services.settings import Common
from services.store import Blobs, StoreError
from services.store_kv import Bucket
from services.vault import KeyFile, VaultError, key_path

EVERYTHING = (">",)
BEAT_FRESH_S = 5.0
DRAIN_S = 3.0
INTAKE_INFO = f"$JS.API.STREAM.INFO.{subjects.INTAKE_STREAM}"

log = telemetry.get_logger()


class Site:
    """One gateway: everything behind the listening socket."""

    def __init__(
        self,
        log_: Log,
        blobs: Blobs,
        projection: Projection,
        known: Identity,
        accounts: Accounts,
        settings: Settings,
        instance: str = "gateway-1",
    ) -> None:
        self.log = log_
        self.projection = projection
        self.settings = settings
        self.hub = Hub(facts=settings.recent_facts, size=settings.recent_bytes)
        self.desk = Desk(log_, blobs, instance)
        self.parts = Parts(log_, self.desk, self.hub, projection, settings)
        self._known = Identities(self.parts.tokens, known)
        self.limit = RateLimit(settings.rate_limit_requests, settings.rate_limit_window_s)
        history = History(log_, self.hub, settings.history_readers, settings.queue_bytes)
        self.streams = Streams(self.hub, history, self.desk, self.authenticate, settings)
        self.streams.epoch = log_.epoch
        self.feeds = Feeds(history)
        self.parts.tokens.on_gone += [self.streams.revoke, self.feeds.revoke]
        self.door = Door(self.parts, http_misc.version())
        self.linking = Linking(
            accounts,
            HuggingFace(),
            self.parts.others,
            github_url=settings.github_url,
            kit=settings.space_kit,
        )
        self.app = Gateway(
            http_misc.build(
                self.parts, lambda: len(self.streams.connections), self.feeds, self.linking
            ),
            self.door,
            self.streams,
            self._known.of,
            self.limit,
            settings.allowed_origins,
        )

    def authenticate(self, token: str) -> Principal | None:
        """Return whose a token or a one-time ticket is."""
        if principal := self.parts.tickets.take(token):
            return principal if self.parts.tokens.holds(principal) else None
        return self._known.of(token)

    async def follow(self) -> None:
        """Feed hub and tables from the log, for ever."""
        self.hub.owners.update(await tables.owners(self.projection))
        self.hub.begin(self.projection.position)
        await project(
            self.log,
            self.projection,
            EVERYTHING,
            tables.apply,
            on_batch=self.hub.publish,
            on_reset=self._reset,
        )

    def _reset(self) -> None:
        self.hub.reset()
        self.streams.epoch = self.log.epoch
        self.streams.shut_all(RESET, "the log is another one: start over")
        self.feeds.end_all()


class Listener:
    """uvicorn inside our loop, without its signal handlers."""

    def __init__(self, site: Site) -> None:
        settings = site.settings
        self._site = site
        self._server = _Server(
            uvicorn.Config(
                site.app,
                ws=StreamSocket,
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
        self.url = f"http://{host}:{port}"
        names = {host, "localhost", "127.0.0.1"}
        self._site.app.origins |= {f"http://{name}:{port}" for name in names}
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

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Signals belong to `services.process`."""
        yield


async def serve(process: Process, common: Common, settings: Settings) -> None:
    """Run the gateway until the process stops. Raises Fatal for what the operator must change."""
    identity.ensure_local_token(common.data)
    bus, log_ = await join(process, common)
    path = view_path(common.data, process.instance)
    projection = await Projection.open(path, tables.SCHEMA, tables.VERSION)
    process.on_drain(projection.close)
    blobs = Blobs(bus, limit=settings.blob_limit)
    accounts = Accounts(bus, _master_key(common))
    identities = FileIdentity(common.data)
    site = Site(log_, blobs, projection, identities, accounts, settings, process.instance)
    site.parts.connected = lambda: bus.connected
    process.background("gateway-follow", site.follow())
    _measure(process, site)
    await _share(process, bus, site)
    await _join(process, bus, site)
    listener = Listener(site)
    await listener.start()
    process.on_drain(listener.stop)
    announce(common.data, listener.url)
    process.on_drain(lambda: _withdraw(common.data))
    if common.enable_metrics:
        page = metrics_page.Listener(
            metrics_page.Collection(partial(ask_all, bus)), settings.host, common.metrics_port
        )
        process.on_drain(page.stop)
        await page.start()
    log.info("gateway_listening", url=listener.url)
    await process.stopping.wait()


def _measure(process: Process, site: Site) -> None:
    streams, hub = site.streams, site.hub
    metrics.gauge(
        "metamcp_streams_open", "Open websockets.", process, lambda: len(streams.connections)
    )
    metrics.gauge(
        "metamcp_position",
        "Last sequence of the log that was applied.",
        process,
        lambda: hub.position,
    )


async def _share(process: Process, bus: Bus, site: Site) -> None:
    """Share tokens and request counts with the other gateways. Raises Fatal."""
    tokens = site.parts.tokens
    tokens.bucket = Bucket(bus, subjects.TOKENS_BUCKET)
    exchange = Exchange(site.limit, Bucket(bus, subjects.LIMITS_BUCKET))
    try:
        # Before anybody can come: who has a token must not be told that it is unknown.
        await tokens.refresh()
        await exchange.once()
    except StoreError as error:
        raise Fatal(
            f"The gateway can't read tokens and request counts: {error}.",
            "Run `metamcp provision` after an upgrade, and see that NATS answers.",
        ) from None
    process.background("gateway-tokens", tokens.follow())
    if site.settings.rate_limit_requests:
        process.background("gateway-limits", exchange.run())


def _master_key(common: Common) -> KeyFile:
    """The key of linked accounts; made at the first start, unless a file is named. Raises Fatal."""
    key = KeyFile(key_path(common.data, common.master_key))
    try:
        if common.master_key is None:
            key.ensure()
        key.vault()
    except VaultError as error:
        raise Fatal(f"Linked accounts can't be sealed: {error}.") from None
    return key


async def _join(process: Process, bus: Bus, site: Site) -> None:
    """Take part in what travels outside the log: intake, requests, progress, heartbeats."""
    info = msgspec.json.decode(await bus.request(INTAKE_INFO))
    intake = Intake(site.log, site.desk, bus.publish, info["created"])
    process.background("gateway-intake", intake.run())
    site.parts.host_logs.ask_all = partial(ask_all, bus)
    site.parts.others.connect(bus)
    await bus.subscribe(SUBMIT_SUBJECTS, intake.answer, queue="gateway")

    def on_progress(message: Any) -> None:
        _, user, task = message.subject.split(".")
        site.hub.progress(user, task, message.data)

    await bus.subscribe(subjects.progress("*", "*"), on_progress)
    heard: dict[str, float] = {}

    def on_beat(message: Any) -> None:
        heard[message.subject] = time.monotonic()

    def executors() -> int:
        since = time.monotonic() - BEAT_FRESH_S
        for silent in [name for name, at in heard.items() if at < since]:
            del heard[silent]
        return len(heard)

    await bus.subscribe(subjects.beat("*"), on_beat)
    site.parts.executors = executors


def announce_file(data: Path) -> Path:
    """Where the CLI finds the gateway of this data folder."""
    return data / "gateway.json"


def announce(data: Path, url: str) -> None:
    """Write the address in use."""
    fresh = data / f".gateway.json.{os.getpid()}"
    fresh.write_bytes(msgspec.json.encode({"url": url}))
    fresh.replace(announce_file(data))


async def _withdraw(data: Path) -> None:
    announce_file(data).unlink(missing_ok=True)


def _listen(host: str, port: int) -> sockets.socket:
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    listening = sockets.socket(family, sockets.SOCK_STREAM)
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
