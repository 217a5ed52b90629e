"""Everything on one machine: nats-server and the five services, started, supervised and drained.

`start` is the one way to do it: `metamcp up`, `metamcp demo`, tests and the bench use it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import httpx
import msgspec

from services.bus.bus import Bus, read_credentials
from services.bus.names import inbox_prefix
from services.gateway.access.identity import ensure_local_token
from services.gateway.listener import shown_certificate
from services.gateway.people import profile_files
from services.gateway.settings import Settings as GatewaySettings
from services.log import jetstream
from services.process.files import port_is_free, write_shared
from services.process.run import Fatal, Main, Process
from services.process.settings import Common, SettingsError, load
from services.process.supervisor import Escalated, Supervisor
from services.process.tls import NOTHING, ClientFiles, pinned
from services.registry import service as registry
from services.registry.settings import Settings as RegistrySettings
from services.store import blobs
from services.store.access import DAYS
from services.up.announced import GATEWAY_FILE, read_announced, read_gateway_url
from services.up.children import Child, ChildProcess, Following, InProcess, Server
from services.up.disk_watch import DiskWatch
from services.up.nats_config import OPERATOR
from services.up.nats_server import Embedded
from services.up.plan import (
    STATE_FILE,
    Plan,
    UpState,
    environment,
    folder_lock,
    log_folder,
    not_ready,
    read_state,
)
from services.up.services import FIVE
from services.up.settings import Settings

__all__ = [
    "Plan",
    "Report",
    "Running",
    "Settings",
    "UpState",
    "connect",
    "provision",
    "read_gateway_url",
    "read_state",
    "start",
]

TOKEN_FILE = Path("credentials/token")
NATS = "nats"
_POLL_S = 0.1

Report = Callable[[str], object]
"""Told what is going on, one short sentence at a time."""


def _quiet(_: str) -> None:
    """Report nothing."""


class Running:
    """A running orchestrator; leave the `start` block to drain and stop it."""

    def __init__(self, plan: Plan, data: Path, nats_url: str, token: str) -> None:
        """Use `start`."""
        self.plan = plan
        self.data = data
        self.nats_url = nats_url
        self.token = token
        self.url = ""
        """The gateway's; known once it is ready."""
        self.certificate = ""
        """The one the gateway shows (PEM), known as its address is; none: no TLS."""
        self.failed = asyncio.Event()
        """Set when something crashed too often; `wait` raises why."""
        settings = plan.settings
        self._children: list[Child] = []
        self._supervisor = Supervisor(
            "up", intensity=settings.restarts, window_s=settings.restart_window_s
        )
        self._supervising: asyncio.Task[None] | None = None
        self._missing = ""

    @property
    def token_file(self) -> Path:
        """Where the local user's bearer token lies."""
        return self.data / TOKEN_FILE

    @property
    def trust(self) -> ssl.SSLContext | None:
        """For clients of the gateway: its own certificate is believed."""
        return pinned(self.certificate) if self.certificate else None

    @property
    def logs(self) -> Path:
        """Folder with the services' log files."""
        return log_folder(self.plan, self.data)

    @property
    def credentials(self) -> Path | None:
        """Folder with the NATS credentials of each role; None if the server asks for none."""
        return self.data / "credentials" if self.plan.nats is None else self.plan.credentials

    def credentials_file(self, role: str) -> Path | None:
        """The file of one role or publisher."""
        return None if self.credentials is None else self.credentials / f"{role}.json"

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of what runs as a process, by name: `nats`, `router-1`, `executor-2` …"""
        return {child.name: child.pid for child in self._children if child.pid is not None}

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> list[int]:
        """Send a signal to one process, or to all of a service; the answer is who got it.

        They are started again like after any crash. Raises KeyError if nothing has that name.
        """
        found = [pid for own, pid in self.pids.items() if name in (own, own.rpartition("-")[0])]
        if not found:
            raise KeyError(name)
        for pid in found:
            os.kill(pid, number)
        return found

    async def wait(self) -> None:
        """Wait until something has crashed too often, and raise that as Fatal."""
        assert self._supervising is not None
        try:
            await asyncio.shield(self._supervising)
        except Escalated as error:
            why = error.__cause__ or error
            raise Fatal(f"{error}: {why}", self._logs_hint()) from error

    def supervise(self, child: Child) -> None:
        """Start a child and keep it running."""
        self._children.append(child)
        self._supervisor.start(child.name, child.run)
        if self._supervising is None:
            self._supervising = asyncio.create_task(self._supervisor.run(), name="up")
            self._supervising.add_done_callback(lambda _: self.failed.set())

    async def ready(self) -> None:
        """Wait until the gateway and all executors are there. Raises Fatal if it takes too long."""
        limit_s = self.plan.settings.ready_s
        waiting = asyncio.create_task(self._until_ready())
        failing = asyncio.create_task(self.wait())
        try:
            await asyncio.wait(
                (waiting, failing), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            if failing.done():
                failing.result()
            if not waiting.done():
                text = f"The services were not ready within {limit_s:g} s{self._missing}."
                raise Fatal(text, self._logs_hint())
            waiting.result()
        finally:
            waiting.cancel()
            failing.cancel()
        self._keep_port()

    async def close(self) -> None:
        """Drain and stop everything but the nats-server."""
        if self._supervising is not None:
            await self._supervisor.close()
            await asyncio.wait((self._supervising,))
            if not self._supervising.cancelled():
                self._supervising.exception()

    def _keep_port(self) -> None:
        """A restarted gateway listens where its clients know it, also on a free port."""
        for child in self._children:
            if child.name.startswith("gateway-") and isinstance(child, ChildProcess):
                default = 443 if self.certificate else 80
                child.environ["METAMCP_GATEWAY_PORT"] = str(httpx.URL(self.url).port or default)

    async def _until_ready(self) -> None:
        while True:
            with contextlib.suppress(OSError, httpx.HTTPError, msgspec.DecodeError):
                found = read_announced(self.data)
                self.url, self.certificate = found.url, found.certificate
                # Without TLS no certificate is good: none is asked for.
                trust = pinned(found.certificate)
                async with httpx.AsyncClient(timeout=2.0, trust_env=False, verify=trust) as client:
                    answer = await client.get(f"{self.url}/api/health")
                wanted = self.plan.settings.executors
                missing = not_ready(answer.status_code, answer.content, wanted)
                if not missing:
                    return
                self._missing = f": {missing}"
            await asyncio.sleep(_POLL_S)

    def _logs_hint(self) -> str:
        return f"See the log files in {self.logs}."


@contextlib.asynccontextmanager
async def start(plan: Plan, report: Report = _quiet) -> AsyncIterator[Running]:
    """Start everything and yield once it is ready; drain and stop it at the end.

    Raises EmbeddedError, Fatal, SettingsError, and what connecting to NATS raises.
    """
    data = plan.data.expanduser().resolve()
    _check_hosts(plan, data)
    async with contextlib.AsyncExitStack() as stack:
        nats_url, server = await _nats(plan, data, stack)
        _check_gateway(plan)
        report(f"NATS at {nats_url}")
        folder = data / "credentials" if plan.nats is None else plan.credentials
        common = _common(plan, data)
        await provision(nats_url, folder, common.nats_tls, common.access_days)
        running = Running(plan, data, nats_url, _local_token(data))
        stack.enter_context(_state_file(running))
        stack.push_async_callback(running.close)
        if server is not None:
            running.supervise(server)
            running.supervise(Following(server))
            running.supervise(DiskWatch(server))
        (data / GATEWAY_FILE).unlink(missing_ok=True)
        for name, instance in _instances(plan.settings):
            running.supervise(_child(running, name, instance))
        report("services started")
        await running.ready()
        report(f"ready at {running.url}")
        yield running


async def provision(
    nats_url: str,
    credentials: Path | None,
    tls: ClientFiles = NOTHING,
    access_days: int = DAYS,
) -> None:
    """Create or update streams, consumers and buckets, as the operator.

    `credentials` is the folder with `operator.json`; None: the server asks for none. The stream
    `ACCESS` keeps `access_days`.
    """
    bus = await connect(nats_url, OPERATOR, credentials, name="metamcp-provision", tls=tls)
    try:
        await jetstream.provision(bus)
        await blobs.provision(bus, access_days)
    finally:
        await bus.close()


async def connect(
    nats_url: str,
    role: str,
    credentials: Path | None,
    *,
    name: str,
    tls: ClientFiles = NOTHING,
) -> Bus:
    """Connect as one of the roles, with its file from the folder. Raises ConnectFailed."""
    if credentials is None:
        return await Bus.connect(nats_url, name=name, tls=tls)
    login = read_credentials(credentials / f"{role}.json")
    return await Bus.connect(
        nats_url, name=name, credentials=login, inbox_prefix=inbox_prefix(login.user), tls=tls
    )


async def _nats(
    plan: Plan, data: Path, stack: contextlib.AsyncExitStack
) -> tuple[str, Server | None]:
    if plan.nats is not None:
        stack.enter_context(folder_lock(data))
        return plan.nats, None
    settings = plan.settings
    embedded = Embedded(data, port=settings.nats_port, most=settings.nats_bytes)
    await stack.enter_async_context(embedded)
    return embedded.url, Server(embedded)


@contextlib.contextmanager
def _state_file(running: Running) -> Iterator[None]:
    path = running.data / STATE_FILE
    folder = None if running.credentials is None else str(running.credentials)
    state = UpState(pid=os.getpid(), nats_url=running.nats_url, credentials=folder)
    write_shared(path, msgspec.json.encode(state))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        (running.data / GATEWAY_FILE).unlink(missing_ok=True)


def _check_hosts(plan: Plan, data: Path) -> None:
    """Read the manifests before anything runs; a registry that can't would only crash again."""
    own = load(RegistrySettings, "registry", environment(plan), cwd=Path.cwd())
    try:
        registry.listed(_common(plan, data), own)
    except Fatal as error:
        raise SettingsError(error.message) from None


def _common(plan: Plan, data: Path) -> Common:
    environ = environment(plan) | {"METAMCP_DATA": str(data)}
    return load(Common, "common", environ, cwd=Path.cwd())


def _check_gateway(plan: Plan) -> None:
    """Say at once what the gateway would only say by crashing."""
    gateway = load(GatewaySettings, "gateway", environment(plan), cwd=Path.cwd())
    profile_files.load(gateway.manifests)
    if gateway.tls_cert is not None:
        shown_certificate(gateway)
    if gateway.port and not port_is_free(gateway.host, gateway.port):
        raise Fatal(
            f"Port {gateway.port} on {gateway.host} is in use by another program.",
            "Choose another with --port or METAMCP_GATEWAY_PORT (0: a free one).",
        )


def _local_token(data: Path) -> str:
    return ensure_local_token(data)


def _instances(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in FIVE:
        for k in range(settings.executors if name == "executor" else 1):
            yield name, f"{name}-{k + 1}"


def _child(running: Running, name: str, instance: str) -> Child:
    plan = running.plan
    environ = environment(plan) | {
        "METAMCP_NATS_URL": running.nats_url,
        "METAMCP_DATA": str(running.data),
        "METAMCP_CREDENTIALS": str(running.credentials_file(name) or ""),
        "METAMCP_INSTANCE": instance,
        "METAMCP_LOG_DIR": str(log_folder(plan, running.data)),
    }
    grace_s = plan.settings.drain_s
    if plan.settings.in_process:
        return InProcess(name, instance, _main(name, environ), grace_s=grace_s)
    command = (sys.executable, "-m", f"services.{name}")
    return ChildProcess(instance, command, environ, grace_s=grace_s, echo=plan.echo)


def _main(name: str, environ: Mapping[str, str]) -> Main:
    """The service's own `serve` with its settings filled from `environ`."""
    service = FIVE[name]
    common = load(Common, "common", environ, cwd=Path.cwd())
    own = load(service.settings, name, environ, cwd=Path.cwd())

    async def main(process: Process) -> None:
        await service.serve(process, common, own)

    return main
