"""How a service joins the others: its connection and the log, watched while it runs."""

from __future__ import annotations

from typing import NamedTuple

from services.bus import health, metrics
from services.bus.bus import Bus, read_credentials
from services.bus.names import inbox_prefix
from services.log.jetstream import NatsLog
from services.process.run import Process
from services.process.settings import Common


class Joined(NamedTuple):
    """What a service holds on to."""

    bus: Bus
    log: NatsLog


async def join(process: Process, common: Common) -> Joined:
    """Connect as this service and open the log.

    From then on it answers how it is and what it measures. Credentials are those of the settings,
    else `<data>/credentials/<service>.json` if it exists.
    The process fails when the connection is gone for good or the log's writer has broken, so that
    it is started again. Raises ConnectFailed, LogMismatch, LogUnavailable.
    """
    bus = await connected(process, common)
    log = await NatsLog.open(bus)
    process.on_drain(log.close)
    process.spawn("log", log.broken())
    await metrics.answer(bus, process)
    await health.answer(bus, process)
    return Joined(bus, log)


async def connected(process: Process, common: Common, suffix: str = "") -> Bus:
    """Connect as this service, for as long as the process runs. Raises ConnectFailed.

    `suffix`: what tells this connection from the others of the process, at the server.
    """
    path = common.credentials or common.data / "credentials" / f"{process.service}.json"
    known = common.credentials is not None or path.exists()
    bus = await Bus.connect(
        common.nats_url,
        name=process.instance + suffix,
        credentials=read_credentials(path) if known else None,
        inbox_prefix=inbox_prefix(process.service),
        tls=common.nats_tls,
    )
    process.on_drain(bus.close)
    process.spawn("bus", bus.lost())
    return bus
