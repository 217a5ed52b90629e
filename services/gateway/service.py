"""Puts the gateway together and runs it inside a process's event loop."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from contracts import subjects
from services.bus import health, metrics
from services.bus.all import ask_all
from services.bus.bus import Bus
from services.bus.room import room
from services.gateway import projection as tables
from services.gateway.access import identity
from services.gateway.access.identity import FileIdentity
from services.gateway.access.reserve import Reserve
from services.gateway.intake import SUBMIT_SUBJECTS, Intake
from services.gateway.listener import Listener, announced, fitting, withdraw
from services.gateway.peers.metrics import Collection, MetricsListener
from services.gateway.people import profile_files, publishers
from services.gateway.settings import Settings
from services.gateway.site import Site
from services.huggingface.hub import Hub
from services.join import connected, join
from services.keys.vault import KeyFile, VaultError, key_path
from services.log.projection import Projection, view_path
from services.process import telemetry
from services.process.in_force import in_force
from services.process.run import Fatal, Process
from services.process.settings import Common
from services.store.blobs import StoreError
from services.store.stream import Stream

OUTSIDE = "-outside"
KEY = (
    "Put the one that was there back, the same at every gateway: nothing is lost. If it is gone,"
    " delete the values `key.root` and `signing.oauth` in the bucket of accounts; everybody signs "
    "in and links again."
)
PROBE_BYTES = 4096
"""A write that tells of a full disk does not fit into what is left of the last block."""
LEASES = f"KV_{subjects.LEASES_BUCKET}"
INTAKE_INFO = f"$JS.API.STREAM.INFO.{subjects.INTAKE_STREAM}"

log = telemetry.get_logger()


async def serve(process: Process, common: Common, settings: Settings) -> None:
    """Run the gateway until the process stops. Raises Fatal for what the operator must change."""
    identity.ensure_local_token(common.data)
    settings = fitting(settings)
    bus, log_ = await join(process, common, settings)
    path = view_path(common.data, process.instance)
    projection = Projection(path, tables.SCHEMA, tables.VERSION, process.troubles)
    process.on_drain(projection.close)
    key, known = _master_key(common), FileIdentity(common.data)
    reserve = Reserve(
        *(partial(room, bus), common.data, settings.disk_reserve),
        probe=partial(Stream(bus, LEASES).publish, subjects.WRITE_PROBE, bytes(PROBE_BYTES)),
        refusing=lambda: log_.refusing,
    )
    site = Site(
        *(bus, log_, projection, known, key, Hub(), settings, process.instance),
        spaces=common.space_url,
        budget=common.budget,
        reserve=reserve,
        allow_private=common.allow_private_hosts,
        told=in_force({"common": common, "gateway": settings}, os.environ, Path.cwd()),
        data=common.data,
    )
    site.parts.profiles.write_down(profile_files.load(settings.manifests))
    process.background("gateway-follow", site.follow())
    process.background("gateway-operations", site.operations.run())
    process.background("gateway-waits", site.parts.waits.run())
    process.background("gateway-reserve", reserve.run())
    _measure(process, site)
    await _share(process, site)
    process.background("gateway-publishers", publishers.follow(common.data, site.parts.trail))
    await _join(process, bus, await connected(process, common, OUTSIDE), site)
    listener = await Listener.start(site)
    process.on_drain(listener.stop)
    process.on_drain(lambda: withdraw(common.data))
    known_at = announced(common.data, listener.url, listener.certificate, process.troubles)
    process.background("gateway-announce", known_at)
    if common.enable_metrics:
        await _show_metrics(process, bus, common.metrics_host, common.metrics_port)
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
        await site.parts.state.refresh()
        await exchange.once()
    except StoreError as error:
        raise Fatal(
            f"The gateway can't read tokens and request counts: {error}.",
            "Run `metamcp provision` after an upgrade, and see that NATS answers.",
        ) from None
    try:
        site.parts.signed_in.keys.check()
    except VaultError as error:
        raise Fatal(
            f"The gateway has another master key than was used here: {error}.", KEY
        ) from None
    process.background("gateway-tokens", tokens.follow())
    process.background("gateway-people", site.parts.state.follow())
    process.background("gateway-renewals", site.sign_in_door.kept.run())
    process.on_drain(site.writer.close)
    process.background("gateway-access", site.writer.run())
    process.on_drain(site.parts.entrance.passwords.close)
    if site.settings.rate_limit_requests or site.admission.counts_frames:
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


async def _join(process: Process, bus: Bus, outside: Bus, site: Site) -> None:
    """Take part in what travels outside the log: intake, requests, progress, heartbeats.

    `outside` is for requests of publishers alone: NATS cuts a connection off that is sent more than
    can be read.
    """
    info = msgspec.json.decode(await bus.request(INTAKE_INFO))
    barred = site.parts.users.barred
    intake = Intake(site.log, site.desk, outside.publish, info["created"], barred)
    process.background("gateway-intake", intake.run())
    for subject in SUBMIT_SUBJECTS:
        await outside.listen(subject, intake.answer, queue="gateway")

    def on_progress(message: Any) -> None:
        _, user, task = message.subject.split(".")
        site.feed.progress(user, task, message.data)

    def on_said(message: Any) -> None:
        _, user, task = message.subject.split(".")
        site.feed.said.tell(user, task, message.data)

    await bus.serve("gateway", "1.0.0", {"host_token": site.host_links.token})
    await bus.subscribe(subjects.progress("*", "*"), on_progress)
    await bus.subscribe(subjects.said("*", "*"), on_said)
    await bus.subscribe(subjects.beat("*"), site.parts.executors.hear)
    heard = site.door.on_reads_changed
    await bus.subscribe(subjects.reads_changed("*/*"), lambda message: heard(message.data))
