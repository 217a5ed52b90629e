"""The registry at work: brings the log in line with the manifests, and watches every host.

One actor per host probes it for ever; what it finds becomes a fact only when it is news.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, TypeVar

import msgspec
import structlog

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import Fact
from contracts.host import HealthStatus, Host
from contracts.wire import Breaker
from services.actor import Supervisor
from services.ids import new_id
from services.log import AlreadyRecorded, Batch, Log
from services.projection import Projection, project
from services.registry import domain, probe
from services.registry.domain import Command, Known, Listed, Probed
from services.registry.projection import View
from services.registry.settings import Settings

ATTEMPTS = 5
CALLS = "/calls"
"""Name of the child that judges calls; no host's id has a slash."""
PROBE_WAIT_S = 100.0

log = structlog.get_logger()

R = TypeVar("R", bound=msgspec.Struct)


class HostView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A host as `cmd.registry.list` and `cmd.registry.probe` show it."""

    host: Host
    status: HealthStatus
    reason: str = ""
    latency_ms: float = 0.0
    since: float = 0.0
    """Log time of the last change of health, seconds since the epoch."""


class HostList(msgspec.Struct, frozen=True):
    """Answer of `cmd.registry.list`."""

    hosts: tuple[HostView, ...]


class ListRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.registry.list`: hosts that this user may use; without a user, all."""

    user: str | None = None


class ProbeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cmd.registry.probe`: probe this host now and say how it is."""

    host: str


class Registry:
    """Owns the facts about hosts. One per deployment; a second one only repeats what is known."""

    def __init__(
        self,
        log_: Log,
        projection: Projection,
        by: str,
        settings: Settings,
        reach: probe.Reach = probe.UNEQUIPPED,
    ) -> None:
        self._log = log_
        self._projection = projection
        self._by = by
        self._limit_s = settings.probe_limit_s
        self._reach = reach
        self._starts = asyncio.Semaphore(settings.starts_at_once)
        self._view = View()
        self._changed = asyncio.Condition()
        self._through = 0
        self._live = asyncio.Event()
        self.watching = asyncio.Event()
        """Set once the log agrees with the manifests."""
        self._writing = asyncio.Lock()
        self._watchers: dict[str, Watcher] = {}
        self._open: domain.Open = {}
        self._blamed: dict[str, None] = {}
        self._some = asyncio.Event()
        self._supervisor = Supervisor("registry")

    @property
    def hosts(self) -> dict[str, Known]:
        """What is known, by host id."""
        return self._view.hosts

    async def follow(self) -> None:
        """Keep the view in step with the log, for ever."""
        await self._view.restore(self._projection)
        self._through = self._projection.position
        await project(
            self._log,
            self._projection,
            subjects.HOSTS,
            self._view.apply,
            on_batch=self._on_batch,
            on_reset=self._on_reset,
        )

    async def run(self, hosts: tuple[Host, ...]) -> None:
        """Bring the log in line with the hosts of the manifests and watch them; `close` ends it."""
        await self._live.wait()
        await self.record(Listed(hosts))
        for name, known in self.hosts.items():
            if known.spec is not None and known.spec.enabled:
                self._watchers[name] = Watcher(self, name)
                self._supervisor.start(name, self._watchers[name].run)
        self._supervisor.start(CALLS, self._judge_calls)
        self.watching.set()
        await self._supervisor.run()

    async def close(self) -> None:
        """Stop watching and end every process that was started for it."""
        await self._supervisor.close()
        await asyncio.gather(*(watcher.close() for watcher in self._watchers.values()))

    async def record(self, command: Command) -> None:
        """Append what the command calls for and wait until the view has it.

        Decides again when the log turned out to know more. Raises LogUnavailable.
        """
        async with self._writing:
            for _ in range(ATTEMPTS):
                try:
                    for fact in domain.decide(self.hosts, command):
                        await self._reached(await self._log.append(self._stamped(fact)))
                except AlreadyRecorded as refused:
                    if refused.record:
                        await self._reached(refused.record.seq)
                else:
                    return
            raise RuntimeError("somebody else keeps writing facts of this registry's hosts")

    def hear(self, data: bytes) -> None:
        """Take note of a message on `breaker.*`.

        When the calls of a host begin to fail, that is judged at once, and so is the next probe;
        when they may go on, it is probed at once, so that it gets work again.
        """
        try:
            told = msgspec.json.decode(data, type=Breaker)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("breaker_not_readable", error=str(error))
            return
        before = self.failing(told.host)
        self._open = domain.hear(self._open, told, time.monotonic())
        after = self.failing(told.host)
        watcher = self._watchers.get(told.host)
        if watcher is None or bool(before) == bool(after):
            return
        if after:
            self._blamed[told.host] = None
            self._some.set()
        watcher.wake()

    def failing(self, host: str) -> str:
        """Why the host does not work whatever its probes say; empty: nobody says so."""
        known = self.hosts.get(host, domain.NOTHING)
        return domain.failing(self._open, host, known, time.monotonic())

    def prober(self, host: Host) -> probe.Prober:
        """A prober for the host under this registry's limits."""
        return probe.prober(host, self._starts, self._limit_s, self._reach)

    async def list_hosts(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.list`."""
        request = _decode(payload or b"{}", ListRequest)
        views = (
            _view(known.spec, known)
            for _, known in sorted(self.hosts.items())
            if known.spec is not None and request.user in (None, known.spec.owner or request.user)
        )
        return msgspec.json.encode(HostList(tuple(views)))

    async def probe_now(self, payload: bytes) -> bytes:
        """Handle `cmd.registry.probe`; refuses hosts that nobody knows or that are disabled."""
        name = _decode(payload, ProbeRequest).host
        watcher = self._watchers.get(name)
        if watcher is None:
            disabled = name in self.hosts and self.hosts[name].spec is not None
            message = f"host {name[:64]!r} is {'disabled' if disabled else 'not known'}"
            raise Rejected(Reason.NOT_FOUND, message)
        try:
            async with asyncio.timeout(PROBE_WAIT_S):
                await watcher.now()
        except TimeoutError:
            raise Rejected(
                Reason.UNAVAILABLE, f"host {name} is still busy with its probe. Ask again."
            ) from None
        known = self.hosts[name]
        if known.spec is None:
            raise Rejected(Reason.NOT_FOUND, f"host {name} was removed meanwhile")
        return msgspec.json.encode(_view(known.spec, known))

    async def _judge_calls(self) -> None:
        """Take up, for ever, that the calls of hosts have begun to fail."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._blamed:
                host = next(iter(self._blamed))
                del self._blamed[host]
                known = self.hosts.get(host, domain.NOTHING)
                if reason := self.failing(host):
                    log.warning("host_sick", host=host, reason=reason)
                    await self.record(Probed(host, known.seq, reason, known.latency_ms))

    def _stamped(self, fact: Any) -> Any:
        assert isinstance(fact, Fact)
        return msgspec.structs.replace(fact, id=new_id(), by=self._by)

    async def _reached(self, seq: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._through >= seq)

    async def _on_batch(self, batch: Batch) -> None:
        self._view.fold(batch.records)
        async with self._changed:
            self._through = max(self._through, batch.through)
            self._changed.notify_all()
        if batch.live:
            self._live.set()

    def _on_reset(self) -> None:
        self._view.reset()
        self._through = 0


class Watcher:
    """Probes one host on its schedule, and at once when asked."""

    def __init__(self, registry: Registry, host: str) -> None:
        self._registry = registry
        self._host = host
        self._asked = asyncio.Event()
        self._done = asyncio.Condition()
        self._begun = 0
        self._ended = 0
        self._spec: Host | None = None
        self._prober: probe.Prober | None = None

    async def run(self) -> None:
        """Probe until the host is removed or disabled."""
        failures = n = 0
        while (spec := self._registry.hosts[self._host].spec) is not None and spec.enabled:
            answer = await self._probe(spec)
            failures = 0 if not answer.reason else failures + 1
            n += 1
            status = self._registry.hosts[self._host].status
            delay = domain.next_probe_s(self._host, spec.probe.interval_s, status, failures, n)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._asked.wait()
        await self.close()

    def wake(self) -> None:
        """Have a probe begin soon, whatever the schedule says."""
        self._asked.set()

    async def now(self) -> None:
        """Wait for a probe that begins after this call."""
        wanted = self._begun + 1
        self.wake()
        async with self._done:
            await self._done.wait_for(lambda: self._ended >= wanted)

    async def close(self) -> None:
        """End what was started for the probes."""
        prober, self._prober = self._prober, None
        if prober is not None:
            await prober.close()

    async def _probe(self, spec: Host) -> probe.Answer:
        self._asked.clear()
        self._begun += 1
        seq = self._registry.hosts[self._host].seq
        prober = await self._prober_of(spec)
        failing = self._registry.failing(self._host)
        answer = await prober.probe()
        # Calls that could not be made while it was probed weigh more than a good answer.
        reason = answer.reason or failing or self._registry.failing(self._host)
        if reason:
            log.warning("host_sick", host=self._host, reason=reason)
        await self._registry.record(
            Probed(self._host, seq, reason, answer.latency_ms, answer.discovery)
        )
        async with self._done:
            self._ended = self._begun
            self._done.notify_all()
        return answer

    async def _prober_of(self, spec: Host) -> probe.Prober:
        """The one at hand, unless the host has changed so that another must be started."""
        same = self._spec is not None and domain.probed_alike(self._spec, spec)
        if self._prober is None or not same:
            await self.close()
            self._prober = self._registry.prober(spec)
        self._spec = spec
        return self._prober


def _decode(payload: bytes, type_: type[R]) -> R:
    try:
        return msgspec.json.decode(payload, type=type_)
    except msgspec.DecodeError as error:
        raise Rejected(Reason.BAD_REQUEST, f"this is no {type_.__name__}: {error}") from None


def _view(spec: Host, known: Known) -> HostView:
    return HostView(spec, known.status, known.reason, known.latency_ms, known.since)
