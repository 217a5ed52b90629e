"""Puts the gateway together and runs it inside a process's event loop."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from contracts import subjects
from services.bus import health, metrics
from services.bus.all import ask_all
from services.bus.bus import Bus
from services.gateway import projection as tables
from services.gateway.access import identity
from services.gateway.access.identity import FileIdentity
from services.gateway.intake import SUBMIT_SUBJECTS, Intake
from services.gateway.listener import Listener, announce, fitting, withdraw
from services.gateway.peers.metrics import Collection, MetricsListener
from services.gateway.settings import Settings
from services.gateway.site import Site
from services.huggingface.hub import Hub
from services.join import join
from services.keys.vault import KeyFile, VaultError, key_path
from services.log.projection import Projection, view_path
from services.process import telemetry
from services.process.run import Fatal, Process
from services.process.settings import Common
from services.store.blobs import StoreError

INTAKE_INFO = f"$JS.API.STREAM.INFO.{subjects.INTAKE_STREAM}"

log = telemetry.get_logger()


async def serve(process: Process, common: Common, settings: Settings) -> None:
    """Run the gateway until the process stops. Raises Fatal for what the operator must change."""
    identity.ensure_local_token(common.data)
    settings = fitting(settings)
    bus, log_ = await join(process, common)
    path = view_path(common.data, process.instance)
    projection = await Projection.open(path, tables.SCHEMA, tables.VERSION)
    process.on_drain(projection.close)
    key, known = _master_key(common), FileIdentity(common.data)
    site = Site(bus, log_, projection, known, key, Hub(), settings, process.instance)
    process.background("gateway-follow", site.follow())
    _measure(process, site)
    await _share(process, site)
    await _join(process, bus, site)
    listener = await Listener.start(site)
    process.on_drain(listener.stop)
    announce(common.data, listener.url, listener.certificate)
    process.on_drain(lambda: withdraw(common.data))
    if common.enable_metrics:
        await _show_metrics(process, bus, settings.host, common.metrics_port)
    log.info("gateway_listening", url=listener.url)
    await process.stopping.wait()


def _measure(process: Process, site: Site) -> None:
    streams, feed = site.streams, site.feed
    metrics.gauge(
        "metamcp_streams_open", "Open websockets.", process, lambda: len(streams.connections)
    )
    health.show(process, lambda: feed.position, whole=True)


async def _show_metrics(process: Process, bus: Bus, host: str, port: int) -> None:
    page = await MetricsListener.start(Collection(partial(ask_all, bus)), host, port)
    if page is not None:
        process.on_drain(page.stop)


async def _share(process: Process, site: Site) -> None:
    """Share tokens and request counts with the other gateways. Raises Fatal."""
    tokens, exchange = site.parts.tokens, site.exchange
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
    await bus.subscribe(SUBMIT_SUBJECTS, intake.answer, queue="gateway")

    def on_progress(message: Any) -> None:
        _, user, task = message.subject.split(".")
        site.feed.progress(user, task, message.data)

    await bus.subscribe(subjects.progress("*", "*"), on_progress)
    await bus.subscribe(subjects.beat("*"), site.parts.executors.hear)
