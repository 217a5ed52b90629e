"""Puts an executor together from its parts and runs it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from contracts.facts import LogKey
from contracts.host import Host, Noop
from services import keys, process, telemetry
from services.executor import domain, workspace
from services.executor.actor import Executor
from services.executor.attempt import Ports
from services.executor.hosts.base import Opening
from services.executor.hosts.pool import Pool
from services.executor.projection import Hosts
from services.executor.settings import Settings
from services.executor.warm import Warmer
from services.ids import new_id
from services.join import join
from services.keys import SigningKey
from services.log import AlreadyRecorded, Log
from services.projection import view_path
from services.settings import Common
from services.store import Blobs

SERVICE = "executor"
NOBODY = Host(id="-", name="-", endpoint=Noop())

log = telemetry.get_logger()


async def serve(process_: process.Process, common: Common, settings: Settings) -> None:
    """Connect, run until told to stop; what runs is drained by the hooks registered here."""
    data = common.data.expanduser().absolute()
    key = load_key(data)
    bus, log_ = await join(process_, common)
    hosts = await Hosts.open(view_path(data, process_.instance))
    process_.on_drain(hosts.close)
    await announce(log_, key, process_.instance)
    ports = Ports(
        log=log_,
        pool=open_pool(data, settings),
        key=key,
        blobs=Blobs(bus),
        publish=bus.publish,
        workspaces=data / "workspaces" / process_.instance,
    )
    await asyncio.to_thread(workspace.sweep, ports.workspaces)
    executor = Executor(ports, hosts, settings, domain.Me(process_.instance, process_.incarnation))
    following = process_.spawn("executor-hosts", hosts.run(log_))
    process_.spawn("executor-beat", executor.beat())
    process_.spawn("executor-intake", executor.run())
    process_.on_drain(lambda: _stop(following))
    process_.on_drain(executor.drain)
    if settings.warm_hosts:
        warmer = Warmer(ports.pool, hosts.get)
        hosts.on_known = warmer.add
        warming = process_.spawn("executor-warm", warmer.run())
        process_.on_drain(lambda: _stop(warming))
    log.info("executor_ready", slots=settings.slots, kid=key.kid)
    await process_.stopping.wait()


def load_key(data: Path) -> SigningKey:
    """Load or make the permit key. Raises process.Fatal that says how to mend it."""
    try:
        return keys.load_or_create(keys.key_path(data))
    except keys.BadKey as error:
        raise process.Fatal(str(error)) from error
    except OSError as error:
        raise process.Fatal(
            f"The permit key can't be written below {data}: {error.strerror}.",
            "Check METAMCP_DATA and the rights of that folder.",
        ) from error


def open_pool(data: Path, settings: Settings) -> Pool:
    """The rooms of this executor's hosts; none is entered yet."""
    opening = Opening(NOBODY, data / "hosts", settings.allow_noop, private=data)
    return Pool(opening, settings.slots)


async def announce(log_: Log, key: SigningKey, by: str) -> None:
    """Put the public half of the key into the log, unless it stands there already."""
    try:
        await log_.append(LogKey(id=new_id(), by=by, kid=key.kid, jwk=key.jwk))
    except AlreadyRecorded:
        log.debug("key_known", kid=key.kid)


async def _stop(task: asyncio.Task[None]) -> None:
    """End the follower before the file it writes to is closed."""
    task.cancel()
    await asyncio.wait([task])
