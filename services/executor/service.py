"""Puts an executor together from its parts and runs it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from contracts import subjects
from contracts.host import Host, Noop
from services.bus import health, metrics
from services.bus.all import answer_all
from services.bus.bus import Bus
from services.executor import domain
from services.executor.actor import Executor
from services.executor.attempt import workspace
from services.executor.attempt.call import Opening
from services.executor.attempt.runner import Ports
from services.executor.hosts.desk import ProbeDesk
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
from services.outside.apart.pool import WorkerPool
from services.process import run, telemetry
from services.process.files import private_folder
from services.process.settings import Common
from services.store.blobs import Blobs
from services.store.quotas import QuotaReader

SERVICE = "executor"
WORKERS = "services.executor.hosts.inside"
"""The module that its worker processes run."""
NOBODY = Host(id="-", name="-", endpoint=Noop())

log = telemetry.get_logger()


async def serve(process_: run.Process, common: Common, settings: Settings) -> None:
    """Connect, run until told to stop; what runs is drained by the hooks registered here."""
    data = common.data.expanduser().absolute()
    bus, log_ = await join(process_, common)
    hosts = await Hosts.open(view_path(data, process_.instance), common.space_url)
    process_.on_drain(hosts.close)
    keyring = Keyring(data, log_, settings, process_.instance)
    signer = await keyring.open()
    keeping = process_.spawn("executor-keys", keyring.run())
    process_.on_drain(lambda: _stop(keeping))
    spool = data / "spool" / process_.instance
    accounts = Accounts(bus, KeyFile(key_path(data, common.master_key)))
    workers = WorkerPool(WORKERS, spool)
    process_.on_drain(workers.close)
    ports = Ports(
        log=log_,
        pool=open_pool(common, settings, spool, accounts.token, workers),
        key=signer,
        blobs=Blobs(bus, ask=QuotaReader(bus, common.budget).of),
        publish=bus.publish,
        workspaces=data / "workspaces" / process_.instance,
    )
    for folder in (data, data / "workspaces", ports.workspaces, data / "spool", spool):
        private_folder(folder)
    for leftovers in (ports.workspaces, spool):
        await asyncio.to_thread(workspace.sweep, leftovers)
    executor = Executor(ports, hosts, settings, domain.Me(process_.instance, process_.incarnation))
    warmer = Warmer(ports.pool, hosts.get)
    if settings.warm_hosts:
        # Before the first batch: of what is new there, hosts are told once.
        hosts.on_known = warmer.add
    following = process_.spawn("executor-hosts", hosts.run(log_))
    health.show(process_, lambda: hosts.position)
    metrics.gauge(
        "metamcp_executor_busy", "Attempts that are here now.", process_, lambda: executor.busy
    )
    process_.spawn("executor-breakers", ports.pool.breakers.run(process_.instance, bus.publish))
    logs = HostLogServer(data / "hosts", process_.instance)
    await answer_all(bus, subjects.command(SERVICE, "host_log"), logs.answer)
    desk = await _shown(process_, bus, ports.pool, hosts)
    process_.spawn("executor-beat", executor.beat())
    process_.spawn("executor-intake", executor.run())
    process_.on_drain(lambda: _stop(following))
    process_.on_drain(executor.drain)
    process_.on_drain(desk.close)
    if settings.warm_hosts:
        warming = process_.spawn("executor-warm", warmer.run())
        process_.on_drain(lambda: _stop(warming))
    log.info("executor_ready", slots=settings.slots, kid=signer.key.kid)
    await process_.stopping.wait()


async def _shown(process_: run.Process, bus: Bus, pool: Pool, hosts: Hosts) -> ProbeDesk:
    """Let the registry look at what is open here, and tell it when to."""
    desk = ProbeDesk(pool, hosts, process_.instance)
    await answer_all(bus, subjects.command(SERVICE, "holder"), desk.holder)
    await answer_all(bus, subjects.look(process_.instance), desk.look)
    process_.spawn("executor-changes", pool.changes.run(bus.publish))
    return desk


def open_pool(
    common: Common,
    settings: Settings,
    spool: Path,
    linked: Linked | None = None,
    workers: WorkerPool | None = None,
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
        workers=workers,
    )
    secrets = Secrets(data / "secrets", linked=linked)
    return Pool(opening, settings.slots, secrets, settings.processes)


async def _stop(task: asyncio.Task[None]) -> None:
    """End a task before what it uses is closed."""
    task.cancel()
    await asyncio.wait([task])
