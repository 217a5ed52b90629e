"""How a service joins the others: its connection and the log, watched while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from contracts import subjects
from contracts.in_force import SettingsAnswer
from services.bus import health, metrics
from services.bus.all import answer_all
from services.bus.bus import Bus, read_credentials
from services.bus.names import inbox_prefix
from services.log.clock import apart
from services.log.jetstream import NatsLog
from services.log.port import LogUnavailable
from services.process.in_force import in_force
from services.process.run import Process
from services.process.settings import Common

CLOCK_S = 2.0
"""How often the log is asked for its time."""
SET_CLOCK = "Set the clocks of its machine and of nats-server's by NTP."
LOOK_S = 0.5
UNWRITABLE = "log_unwritable"
ROOM = (
    "See `df` on the machine of NATS and give its disk room. `metamcp up` goes on by itself then; a"
    " NATS server of your own has to be started again: it refuses what it has refused once."
)


class Joined(NamedTuple):
    """What a service holds on to."""

    bus: Bus
    log: NatsLog


async def join(process: Process, common: Common, settings: msgspec.Struct) -> Joined:
    """Connect as this service and open the log.

    From then on it answers how it is, which a wrong clock of its machine belongs to, what it
    measures, and with which settings it runs. Credentials are those of the settings, else
    `<data>/credentials/<service>.json` if it exists.
    The process fails when the connection is gone for good or the log's writer has broken, so that
    it is started again. Raises ConnectFailed, LogMismatch, LogUnavailable.
    """
    bus = await connected(process, common)
    log = await NatsLog.open(bus)
    process.on_drain(log.close)
    process.spawn("log", log.broken())
    process.background("clock", _compare_clocks(process, log))
    process.background("log-writes", _tell_of_writes(process, log))
    await metrics.answer(bus, process)
    await health.answer(bus, process)
    await _answer_settings(bus, process, {"common": common, process.service: settings})
    return Joined(bus, log)


async def _answer_settings(bus: Bus, process: Process, sections: dict[str, msgspec.Struct]) -> None:
    found = in_force(sections, os.environ, Path.cwd())
    told = msgspec.json.encode(SettingsAnswer(process.instance, found))

    async def answer(_: bytes) -> bytes:
        return told

    await answer_all(bus, subjects.command(process.service, "settings"), answer)


async def _tell_of_writes(process: Process, log: NatsLog) -> None:
    """Name it among the troubles of the process while its facts are not stored."""
    while True:
        if why := log.refusing:
            process.troubles.tell(UNWRITABLE, f"the log takes no facts: {why}", ROOM)
        else:
            process.troubles.over(UNWRITABLE)
        await asyncio.sleep(LOOK_S)


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


async def _compare_clocks(process: Process, log: NatsLog) -> None:
    """Keep the log's time known, and tell when this machine's clock differs from it."""
    while True:
        if seconds := log.apart_s:
            process.troubles.tell("clock", apart(seconds), SET_CLOCK)
        else:
            process.troubles.over("clock")
        await asyncio.sleep(CLOCK_S)
        # In a silence the last reading stays.
        with contextlib.suppress(LogUnavailable):
            await log.look()
