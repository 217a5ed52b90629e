"""Puts an executor together from its parts and runs it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from contracts import subjects
from contracts.host import Host, Noop
from services.bus import health, metrics
from services.bus.all import answer_all
from services.executor import domain
from services.executor.actor import Executor
from services.executor.attempt import workspace
from services.executor.attempt.call import Opening
from services.executor.attempt.runner import Ports
from services.executor.hosts.host_log import HostLogServer
from services.executor.hosts.pool import Pool
from services.executor.hosts.warm import Warmer
from services.executor.permits.keyring import Keyring
from services.executor.projection import Hosts
from services.executor.settings import Settings
from services.join import join
from services.keys.accounts import Accounts
from services.keys.secrets import Linked, Secrets
from services.keys.vault import KeyFile, key_path
from services.log.projection import view_path
from services.process import run, telemetry
from services.process.settings import Common
from services.store.blobs import Blobs

SERVICE = "executor"
NOBODY = Host(id="-", name="-", endpoint=Noop())

log = telemetry.get_logger()


async def serve(process_: run.Process, common: Common, settings: Settings) -> None:
    """Connect, run until told to stop; what runs is drained by the hooks registered here."""
    data = common.data.expanduser().absolute()
    bus, log_ = await join(process_, common)
    hosts = await Hosts.open(view_path(data, process_.instance))
    process_.on_drain(hosts.close)
    keyring = Keyring(data, log_, settings, process_.instance)
    signer = await keyring.open()
    keeping = process_.spawn("executor-keys", keyring.run())
    process_.on_drain(lambda: _stop(keeping))
    spool = data / "spool" / process_.instance
    accounts = Accounts(bus, KeyFile(key_path(data, common.master_key)))
    ports = Ports(
        log=log_,
        pool=open_pool(common, settings, spool, accounts.token),
        key=signer,
        blobs=Blobs(bus),
        publish=bus.publish,
        workspaces=data / "workspaces" / process_.instance,
    )
    for leftovers in (ports.workspaces, spool):
        await asyncio.to_thread(workspace.sweep, leftovers)
    executor = Executor(ports, hosts, settings, domain.Me(process_.instance, process_.incarnation))
    warmer = Warmer(ports.pool, hosts.get)
    if settings.warm_hosts:
        # Before the first batch: of what is new there, hosts are told once.
        hosts.on_known = warmer.add
    following = process_.spawn("executor-hosts", hosts.run(log_))
    process_.spawn("executor-beat", executor.beat())
    health.show(process_, lambda: hosts.position)
    metrics.gauge(
        "metamcp_executor_busy", "Attempts that are here now.", process_, lambda: executor.busy
    )
    process_.spawn("executor-breakers", ports.pool.breakers.run(process_.instance, bus.publish))
    logs = HostLogServer(data / "hosts", process_.instance)
    await answer_all(bus, subjects.command(SERVICE, "host_log"), logs.answer)
    process_.spawn("executor-intake", executor.run())
    process_.on_drain(lambda: _stop(following))
    process_.on_drain(executor.drain)
    if settings.warm_hosts:
        warming = process_.spawn("executor-warm", warmer.run())
        process_.on_drain(lambda: _stop(warming))
    log.info("executor_ready", slots=settings.slots, kid=signer.key.kid)
    await process_.stopping.wait()


def open_pool(
    common: Common, settings: Settings, spool: Path, linked: Linked | None = None
) -> Pool:
    """The doors of this executor's hosts; none is opened yet. Big answers go through `spool`."""
    data = common.data.expanduser().absolute()
    opening = Opening(
        NOBODY,
        data / "hosts",
        settings.allow_noop,
        common.allow_private_hosts,
        private=data,
        spool=spool,
        spaces=common.space_url,
    )
    return Pool(opening, settings.slots, Secrets(data / "secrets", linked=linked))


async def _stop(task: asyncio.Task[None]) -> None:
    """End a task before what it uses is closed."""
    task.cancel()
    await asyncio.wait([task])
