"""Puts the gateway together and runs it inside a process's event loop."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import msgspec

from contracts import subjects
from services.bus import health, metrics
from services.bus.all import ask_all
from services.bus.bus import Bus
from services.gateway import projection as tables
from services.gateway.access import identity
from services.gateway.access.identity import FileIdentity, Identities, Identity, Principal
from services.gateway.access.limits import Exchange, RateLimit
from services.gateway.actor import Desk
from services.gateway.app import Gateway
from services.gateway.http import misc
from services.gateway.http.events import Feeds
from services.gateway.http.linking import Linking
from services.gateway.http.parts import Parts
from services.gateway.intake import SUBMIT_SUBJECTS, Intake
from services.gateway.listener import Listener, announce, fitting, withdraw
from services.gateway.mcp.door import Door
from services.gateway.peers import metrics as metrics_page
from services.gateway.settings import Settings
from services.gateway.stream.connection import RESET, Streams
from services.gateway.stream.feed import Hub
from services.gateway.stream.history import History
from services.huggingface.hub import Hub as HuggingFace
from services.join import join
from services.keys.accounts import Accounts
from services.keys.vault import KeyFile, VaultError, key_path
from services.log.port import Log
from services.log.projection import Projection, project, view_path
from services.process import telemetry
from services.process.run import Fatal, Process
from services.process.settings import Common
from services.store.blobs import Blobs, StoreError
from services.store.kv import Bucket

EVERYTHING = (">",)
BEAT_FRESH_S = 5.0
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
        holds = self.parts.tokens.holds
        self.streams = Streams(self.hub, history, self.desk, self.authenticate, holds, settings)
        self.streams.epoch = log_.epoch
        self.feeds = Feeds(history)
        self.parts.tokens.on_gone += [self.streams.revoke, self.feeds.revoke]
        self.door = Door(self.parts, misc.version())
        self.linking = Linking(
            accounts,
            HuggingFace(),
            self.parts.others,
            github_url=settings.github_url,
            kit=settings.space_kit,
        )
        self.app = Gateway(
            misc.build(self.parts, lambda: len(self.streams.connections), self.feeds, self.linking),
            self.door,
            self.streams,
            self.authenticate,
            self.limit,
            settings.allowed_origins,
        )

    async def authenticate(self, token: str) -> Principal | None:
        """Return whose a token or a one-time ticket is. Raises StoreError: not known now."""
        if principal := await self.parts.tickets.take(token):
            return principal if self.parts.tokens.holds(principal) else None
        if principal := self._known.of(token):
            return principal
        # Another gateway may have issued it a moment ago.
        await self.parts.tokens.look_for(token)
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


async def serve(process: Process, common: Common, settings: Settings) -> None:
    """Run the gateway until the process stops. Raises Fatal for what the operator must change."""
    identity.ensure_local_token(common.data)
    settings = fitting(settings)
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
    announce(common.data, listener.url, listener.certificate)
    process.on_drain(lambda: withdraw(common.data))
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
    health.show(process, lambda: hub.position, whole=True)


async def _share(process: Process, bus: Bus, site: Site) -> None:
    """Share tokens and request counts with the other gateways. Raises Fatal."""
    tokens = site.parts.tokens
    tokens.bucket = Bucket(bus, subjects.TOKENS_BUCKET)
    site.parts.tickets.bucket = Bucket(bus, subjects.TICKETS_BUCKET)
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
    site.parts.checks.connect(bus)
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
