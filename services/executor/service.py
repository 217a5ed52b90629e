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
from services.executor.hosts.reading import ReadDesk
from services.executor.hosts.warm import Warmer
from services.executor.permits.keyring import Keyring
from services.executor.projection import SCHEMA, VERSION, Hosts
from services.executor.restored import FOLDER, Gate
from services.executor.settings import Settings
from services.join import join
from services.keys.accounts import Accounts
from services.keys.gateway import host_tokens
from services.keys.hosttokens import HostTokens
from services.keys.secrets import Linked, Secrets
from services.keys.vault import KeyFile, key_path
from services.log.projection import Projection, view_path
from services.outside.apart.pool import WorkerPool
from services.process import run, telemetry
from services.process.files import private_folder
from services.process.settings import Common
from services.store.blobs import Blobs
from services.store.lease import Leases
from services.store.quotas import QuotaReader

SERVICE = "executor"
ROUTER = "router"
"""The lease of whoever decides."""
WORKERS = "services.executor.hosts.inside"
"""The module that its worker processes run."""
NOBODY = Host(id="-", name="-", endpoint=Noop())

log = telemetry.get_logger()


async def serve(process_: run.Process, common: Common, settings: Settings) -> None:
    """Connect, run until told to stop; what runs is drained by the hooks registered here."""
    data = common.data.expanduser().absolute()
    bus, log_ = await join(process_, common, settings)
    hosts = Hosts(_view(process_, data), common.space_url)
    process_.on_drain(hosts.close)
    keyring = Keyring(data, log_, settings, process_.instance)
    signer = await keyring.open()
    keeping = process_.spawn("executor-keys", keyring.run())
    process_.on_drain(lambda: _stop(keeping))
    spool = data / "spool" / process_.instance
    accounts = Accounts(bus, key := KeyFile(key_path(data, common.master_key)))
    workers = WorkerPool(WORKERS, spool)
    process_.on_drain(workers.close)
    ports = Ports(
        log=log_,
        pool=open_pool(common, settings, spool, accounts.token, workers, host_tokens(bus, key)),
        key=signer,
        blobs=Blobs(bus, ask=QuotaReader(bus, common.budget).of),
        publish=bus.publish,
        workspaces=data / "workspaces" / process_.instance,
    )
    await _begin_in(data, ports.workspaces, spool)
    gate = _gate(process_, bus, data, hosts)
    executor = Executor(ports, hosts, settings, _me(process_), gate.opened)
    warmer = Warmer(ports.pool, hosts.get)
    if settings.warm_hosts:
        # Before the first batch: of what is new there, hosts are told once.
        hosts.on_known = warmer.add
    following = process_.spawn("executor-hosts", hosts.run(log_))
    process_.on_drain(lambda: _stop(following))
    health.show(process_, lambda: hosts.position)
    metrics.gauge(
        "metamcp_executor_busy", "Attempts that are here now.", process_, lambda: executor.busy
    )
    process_.spawn("executor-breakers", ports.pool.breakers.run(process_.instance, bus.publish))
    # Nobody sends work here before.
    await hosts.loaded.wait()
    logs = HostLogServer(data / "hosts", process_.instance)
    await answer_all(bus, subjects.command(SERVICE, "host_log"), logs.answer)
    desk = await _shown(process_, bus, ports.pool, hosts)
    process_.spawn("executor-beat", executor.beat())
    process_.spawn("executor-intake", executor.run())
    process_.on_drain(lambda: _end(executor, gate) if log_.replaced else executor.drain())
    process_.on_drain(desk.close)
    if settings.warm_hosts:
        warming = process_.spawn("executor-warm", warmer.run())
        process_.on_drain(lambda: _stop(warming))
    log.info("executor_ready", slots=settings.slots, kid=signer.key.kid)
    await process_.stopping.wait()


def _view(process_: run.Process, data: Path) -> Projection:
    return Projection(view_path(data, process_.instance), SCHEMA, VERSION, process_.troubles)


async def _begin_in(data: Path, *own: Path) -> None:
    """Have the folders of this instance, with nothing in them of its last run."""
    for folder in (data, *(one for mine in own for one in (mine.parent, mine))):
        private_folder(folder)
    for leftovers in own:
        await asyncio.to_thread(workspace.sweep, leftovers)


async def _shown(process_: run.Process, bus: Bus, pool: Pool, hosts: Hosts) -> ProbeDesk:
    """Let the registry look at what is open here, and tell it when to."""
    desk = ProbeDesk(pool, hosts, process_.instance)
    await answer_all(bus, subjects.command(SERVICE, "holder"), desk.holder)
    await answer_all(bus, subjects.look(process_.instance), desk.look)
    await bus.serve(SERVICE, "1.0.0", {"read": ReadDesk(pool, hosts).read})
    process_.spawn("executor-changes", pool.changes.run(bus.publish))
    process_.spawn("executor-news", pool.news.run(bus.publish))
    return desk


def open_pool(
    common: Common,
    settings: Settings,
    spool: Path,
    linked: Linked | None = None,
    workers: WorkerPool | None = None,
    tokens: HostTokens | None = None,
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
    return Pool(opening, settings.slots, secrets, settings.processes, tokens)


def _me(process_: run.Process) -> domain.Me:
    return domain.Me(process_.instance, process_.incarnation)


def _gate(process_: run.Process, bus: Bus, data: Path, hosts: Hosts) -> Gate:
    leases = Leases(bus)
    gate = Gate(data / FOLDER / process_.instance, lambda: leases.holder(ROUTER))
    hosts.on_mismatch = gate.shut
    return gate


async def _end(executor: Executor, gate: Gate) -> None:
    """The log is another one: nothing that is here is of it."""
    gate.shut()
    await executor.abandon()


async def _stop(task: asyncio.Task[None]) -> None:
    """End a task before what it uses is closed."""
    task.cancel()
    await asyncio.wait([task])
