"""The registry at work: brings the log in line with the manifests, and watches every host.

One actor per host probes it for ever; what it finds becomes a fact only when it is news.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
import structlog

from contracts import subjects
from contracts.errors import Reason, Rejected
from contracts.facts import Fact, HostFact, McpHealth
from contracts.host import SPACE, Host, Stdio
from contracts.ids import host_id
from contracts.wire import Breaker
from services.log.clock import LogClock
from services.log.port import AlreadyRecorded, Append, Batch, Log
from services.log.projection import Projection, project
from services.process.ids import new_id
from services.process.supervisor import Supervisor
from services.registry import barred, changes, domain, takeover
from services.registry.barred import Barred
from services.registry.changes import Change
from services.registry.domain import Command, Held, Known, Listed, ProbeEnded
from services.registry.pace import within
from services.registry.places import ProbePlaces
from services.registry.probes import child
from services.registry.probes.executors import ExecutorPeers
from services.registry.probes.shared import ProbedHost, SharedProber
from services.registry.projection import View, host_of
from services.registry.settings import Settings
from services.registry.takeover import Adoption
from services.registry.watcher import Watcher

ATTEMPTS = 5
KNOWN_S = 5.0
"""How long a command waits for what the log holds."""
CALLS = "/calls"
"""Name of the child that judges calls; no host's id begins with a slash."""

log = structlog.get_logger()


class Registry:
    """Owns the facts about hosts. One per deployment; a second one only repeats what is known."""

    def __init__(
        self,
        log_: Log,
        projection: Projection,
        by: str,
        settings: Settings,
        reach: child.Reach = child.UNEQUIPPED,
        executors: ExecutorPeers | None = None,
    ) -> None:
        self._log = log_
        self._projection = projection
        self._by = by
        self._limit_s = settings.probe_limit_s
        self._barred = frozenset(settings.disabled)
        self._reach = reach
        self._executors = executors
        if executors is not None:
            executors.on_new = self._hand_over
        self._starts = asyncio.Semaphore(settings.starts_at_once)
        self._places = ProbePlaces(settings.probes_at_once)
        self._clock = LogClock()
        self._view = View()
        self._changed = asyncio.Condition()
        self._through = 0
        self._live = asyncio.Event()
        self.watching = asyncio.Event()
        """Set once the log agrees with the manifests."""
        self._writing = asyncio.Lock()
        self.watchers: dict[str, Watcher] = {}
        """The actors of enabled hosts, by id."""
        self._held: Mapping[str, Held] = {}
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
        await project(
            self._log,
            self._projection,
            subjects.HOSTS,
            self._view.apply,
            load=self._load,
            on_batch=self._on_batch,
            on_reset=self._on_reset,
        )

    async def _load(self) -> None:
        await self._view.restore(self._projection)
        self._through = self._projection.position

    async def run(self, hosts: tuple[Host, ...]) -> None:
        """Bring the log in line with the hosts of the manifests and watch them; `close` ends it."""
        await self._live.wait()
        for name in list(self.hosts):
            await self.record(Adoption(name))
        await self.record(Listed(hosts))
        await self.record(Barred(self._barred))
        if unknown := sorted(self._barred - self.hosts.keys()):
            log.warning("disabled_hosts_not_known", hosts=unknown)
        self._supervisor.start(CALLS, self._judge_calls)
        self.watching.set()
        for name in list(self.hosts):
            await self._tend(name, spread=True)
        await self._supervisor.run()

    async def known(self) -> None:
        """Wait, not for long, until it is known which hosts there are. Raises Rejected."""
        try:
            async with asyncio.timeout(KNOWN_S):
                await self._live.wait()
        except TimeoutError:
            text = "the registry is still reading which hosts there are: try again"
            raise Rejected(Reason.UNAVAILABLE, text) from None

    async def close(self) -> None:
        """Stop watching and end every process that was started for it."""
        await self._supervisor.close()
        await asyncio.gather(*(watcher.close() for watcher in self.watchers.values()))

    async def record(self, command: Command | Change | Adoption | Barred) -> int:
        """Append what the command calls for and wait until the view has it.

        Returns the last sequence that was appended, 0 if it was so already. Decides again when the
        log turned out to know more. Raises Rejected for a change that may not be, LogUnavailable.
        """
        async with self._writing:
            await self._live.wait()
            last = 0
            for _ in range(ATTEMPTS):
                try:
                    facts = [self._stamped(fact) for fact in self._decide(command)]
                    if isinstance(command, Adoption) and facts:
                        last = (await self._log.append_together([*map(Append, facts)]))[-1]
                        await self._reached(last)
                        return last
                    for fact in facts:
                        last = await self._log.append(fact)
                        await self._reached(last)
                except AlreadyRecorded as refused:
                    if refused.record:
                        await self._reached(refused.record.seq)
                else:
                    return last
            raise RuntimeError("somebody else keeps writing facts of this registry's hosts")

    def _decide(self, command: Command | Change | Adoption | Barred) -> list[HostFact]:
        if isinstance(command, Change):
            if isinstance(command, changes.Switched) and command.enabled:
                self._check_barred(command.host)
            facts = changes.decide(self.hosts, command)
        elif isinstance(command, Adoption):
            facts = takeover.adopted(self.hosts, command.host)
        elif isinstance(command, Barred):
            facts = barred.switched_off(self.hosts, command.hosts)
        else:
            facts = domain.decide(self.hosts, command)
            if not isinstance(command, Listed):
                facts = within(self.hosts, facts, self._now())
        return barred.kept_off(self.hosts, facts, self._barred)

    def _check_barred(self, host: str) -> None:
        if host in self._barred:
            why = f"METAMCP_REGISTRY_DISABLED names host {host}: take it out there"
            raise Rejected(Reason.CONFLICT, why)

    def _now(self) -> float:
        """Log time; until any fact has told it, the server's word for it."""
        now = self._clock.moment(time.monotonic()).now
        return now if math.isfinite(now) else self._log.now()

    def hold(self, held: Mapping[str, Held]) -> None:
        """Have these hosts, and no others, left alone by probes, for the reasons given."""
        before, self._held = self._held, held
        for host in before.keys() | held.keys():
            if before.get(host) != held.get(host) and (watcher := self.watchers.get(host)):
                watcher.wake()

    def held(self, host: str) -> Held | None:
        """Why the host is not to be probed now, and how it is; None: it may be."""
        spec = self.hosts.get(host, domain.NOTHING).spec
        # Of what is no Space, no Space's state says anything.
        return self._held.get(host) if spec is not None and spec.source == SPACE else None

    def hear(self, data: bytes) -> None:
        """Take note of a message on `breaker.*.*`.

        When the calls of a host begin to fail, that is judged at once, and so is the next probe;
        when they may go on, it is probed at once, so that it gets work again.
        """
        try:
            told = msgspec.json.decode(data, type=Breaker)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("breaker_not_readable", error=str(error))
            return
        before = self.failing(told.host), self.flapping(told.host)
        self._open = domain.hear(self._open, told, time.monotonic())
        after = self.failing(told.host), self.flapping(told.host)
        watcher = self.watchers.get(told.host)
        if watcher is None or [*map(bool, before)] == [*map(bool, after)]:
            return
        if after[0] and not before[0]:
            self._blamed[told.host] = None
            self._some.set()
        watcher.wake()

    def look_again(self, subject: str) -> None:
        """Take note of a message on `tools.changed.*.*`: the host is probed soon."""
        owner, name = subject.split(".")[-2:]
        if (watcher := self.watchers.get(host_id(owner, name))) is not None:
            watcher.wake()

    def failing(self, host: str) -> str:
        """Why the host does not work whatever its probes say; empty: nobody says so."""
        known = self.hosts.get(host, domain.NOTHING)
        return domain.failing(self._open, host, known, time.monotonic())

    def flapping(self, host: str) -> str:
        """Why the host is not well although it answers; empty: nobody says so."""
        known = self.hosts.get(host, domain.NOTHING)
        return domain.flapping(self._open, host, known, time.monotonic())

    def turn(self, host: Host) -> contextlib.AbstractAsyncContextManager[object]:
        """A place among the probes that go on at once."""
        return self._places.turn(host)

    def prober(self, host: Host) -> child.Prober:
        """A prober for the host under this registry's limits."""
        own = child.prober(host, self._starts, self._limit_s, self._reach)
        if self._executors is None or not isinstance(host.endpoint, Stdio):
            return own
        asked = ProbedHost(host, self.hosts[host.id].seq, self._limit_s)
        return SharedProber(asked, own, self._executors, self._starts, self._reach)

    def _hand_over(self, hosts: Iterable[str]) -> None:
        """There is an executor: what runs here is to run there."""
        for host in hosts:
            if (watcher := self.watchers.get(host)) is not None:
                watcher.wake()

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
                    await self.record(ProbeEnded(host, known.seq, reason, known.latency_ms))

    def _stamped(self, fact: Any) -> Any:
        assert isinstance(fact, Fact)
        return msgspec.structs.replace(fact, id=new_id(), by=self._by)

    async def _reached(self, seq: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._through >= seq)

    async def _tend(self, name: str, *, spread: bool = False) -> None:
        """Have the host watched, or no longer, as it is now."""
        spec = self.hosts[name].spec
        watcher = self.watchers.get(name)
        if watcher is not None:
            watcher.changed()
        elif spec is not None and spec.enabled:
            watcher = self.watchers[name] = Watcher(self, name)
            await self._supervisor.stop(name)
            self._supervisor.start(name, partial(self._watch, watcher, name, spread=spread))

    async def _watch(self, watcher: Watcher, name: str, *, spread: bool) -> None:
        await watcher.run(spread=spread)
        while (spec := self.hosts[name].spec) is not None and spec.enabled:
            await watcher.run()  # It was enabled again while the watcher ended.
        del self.watchers[name]

    async def _on_batch(self, batch: Batch) -> None:
        self._view.fold(batch.records)
        if batch.live:
            facts = [(record.seq, record.at) for record in batch.records]
            self._clock.observe(facts, time.monotonic())
        async with self._changed:
            self._through = max(self._through, batch.through)
            self._changed.notify_all()
        if batch.live:
            self._live.set()
        if self.watching.is_set():
            lasting = (r for r in batch.records if not isinstance(r.fact, McpHealth))
            for name in {host for record in lasting if (host := host_of(record))}:
                await self._tend(name)

    def _on_reset(self) -> None:
        self._view.reset()
        self._through = 0
        self._live.clear()
        self._clock = LogClock()
