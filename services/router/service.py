"""Puts a router together: connection, log, projection, lease, heartbeats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

import msgspec

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.queue import QueueRequest
from contracts.restored import RestoredRequest
from services.bus import health, metrics
from services.bus.all import answer_all
from services.bus.bus import Handler
from services.join import join
from services.log.projection import Projection, view_path
from services.process import telemetry
from services.process.run import Fatal, Process
from services.process.settings import Common
from services.router.actor import Router, Writer
from services.router.audits import RouteAudits
from services.router.line import QueueLine
from services.router.projection import SCHEMA, VERSION
from services.router.restored import FOLDER, OpenAgain
from services.router.saved import Copier, restore
from services.router.settings import Settings
from services.store.copies import ViewCopies
from services.store.lease import Leases

SERVICE = "router"

log = telemetry.get_logger()


async def serve(process: Process, common: Common, settings: Settings) -> None:
    """Connect, then route or stand by until told to stop; the hooks give the lease up first."""
    bus, log_ = await join(process, common, settings)
    path = view_path(common.data.expanduser().absolute(), process.instance)
    copies = ViewCopies(bus, SERVICE)
    projection = Projection(path, SCHEMA, VERSION, process.troubles, lambda: restore(copies, path))
    process.on_drain(projection.close)
    who = Writer(process.instance, process.incarnation)
    standing = _standing(process, common.data.expanduser().absolute())
    router = Router(log_, projection, Leases(bus), settings, who, standing)
    bus.on_disconnected.append(router.deafen)
    bus.on_reconnected.append(router.listen)
    await bus.subscribe(subjects.beat("*"), lambda message: router.hear(message.data))
    router.listen()
    audits = RouteAudits(log_, settings)
    handlers = {"status": _answer(router), "recompute": audits.answer}
    await bus.serve(SERVICE, _version(), handlers)
    await answer_all(bus, subjects.command(SERVICE, "restored"), _restored(router))
    await answer_all(
        bus, subjects.command(SERVICE, "queue"), _queue(QueueLine(router, who.instance))
    )
    _measure(router, process)
    running = process.spawn("router", router.run())
    process.on_drain(lambda: _end(running))
    process.on_drain(router.stop)
    copier = Copier(copies, path, lambda: router.active, lambda: projection.position)
    process.background("copier", copier.run())
    await process.stopping.wait()


def _standing(process: Process, data: Path) -> OpenAgain:
    """What stands to be decided since an earlier start. Raises Fatal."""
    path = data / FOLDER / f"{process.instance}.json"
    try:
        return OpenAgain(path, process.troubles)
    except (OSError, msgspec.DecodeError) as error:
        raise Fatal(
            f"{path}, which says what a restored log does not have, can't be read: {error}.",
            "Take it away: what had ended since the backup then runs again.",
        ) from None


def _restored(router: Router) -> Handler:
    async def restored(payload: bytes) -> bytes:
        try:
            request = msgspec.json.decode(payload or b"{}", type=RestoredRequest)
        except msgspec.MsgspecError as error:
            raise Rejected(Reason.BAD_REQUEST, str(error)) from None
        return msgspec.json.encode(router.restored(request))

    return restored


def _queue(line: QueueLine) -> Handler:
    async def queue(payload: bytes) -> bytes:
        try:
            request = msgspec.json.decode(payload or b"{}", type=QueueRequest)
        except msgspec.MsgspecError as error:
            raise Rejected(Reason.BAD_REQUEST, str(error)) from None
        return msgspec.json.encode(line.answer(request, time.monotonic()))

    return queue


def _answer(router: Router) -> Handler:
    async def status(_: bytes) -> bytes:
        return msgspec.json.encode(router.status())

    return status


def _version() -> str:
    try:
        return version("metamcp-orchestrator")
    except PackageNotFoundError:
        return "0.0.0"


def _measure(router: Router, process: Process) -> None:
    """Show what an operator asks first as gauges too."""

    def shown(key: str) -> Callable[[], int]:
        return lambda: int(cast("int", router.status()[key] or 0))

    active = shown("active")
    health.show(process, shown("position"), whole=True, active=lambda: bool(active()))
    for key, text in (
        ("active", "Whether this router decides."),
        ("open", "Tasks that are not over."),
        ("in_flight", "Attempts that were routed and have not ended."),
        ("queued", "Tasks that wait for a host."),
    ):
        metrics.gauge(f"metamcp_router_{key}", text, process, shown(key))


async def _end(task: asyncio.Task[None]) -> None:
    """End the follower before the file it writes to is closed."""
    task.cancel()
    await asyncio.wait([task])
