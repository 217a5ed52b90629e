"""The actor of one host: probes it on its schedule, and at once when asked."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

import structlog

from contracts.host import Host
from services.registry import domain
from services.registry.domain import Command, Known, ProbeEnded, Staged
from services.registry.places import PLACE_S
from services.registry.probes import child

log = structlog.get_logger()


class Home(Protocol):
    """What a watcher needs of its registry."""

    @property
    def hosts(self) -> dict[str, Known]:
        """What is known, by host id."""

    async def record(self, command: Command) -> int:
        """Append what the command calls for."""

    def held(self, host: str) -> domain.Held | None:
        """Why the host is not to be probed now, and how it is; None: it may be."""

    def failing(self, host: str) -> str:
        """Why the host does not work whatever its probes say."""

    def flapping(self, host: str) -> str:
        """Why the host is not well although it answers."""

    def prober(self, host: Host) -> child.Prober:
        """A prober for the host."""

    def turn(self, host: Host) -> contextlib.AbstractAsyncContextManager[object]:
        """A place among the probes that go on at the same time."""


class Watcher:
    """Probes one host until it is removed or disabled."""

    def __init__(self, home: Home, host: str) -> None:
        self._home = home
        self._host = host
        self._asked = asyncio.Event()
        self._done = asyncio.Condition()
        self._begun = 0
        self._ended = 0
        self._spec: Host | None = None
        """As it was probed last, or is being probed."""
        self._made: Host | None = None
        """What the prober was made for."""
        self._prober: child.Prober | None = None
        self._probing: asyncio.Task[child.ProbeOutcome | None] | None = None

    async def run(self, *, spread: bool = False) -> None:
        """Probe until the host is removed or disabled.

        `spread`: it is one of all the hosts of a start, so what was well waits for its own time.
        """
        failures = n = 0
        if spread and (spec := self._enabled()) is not None:
            status = self._home.hosts[self._host].status
            await self._rest(domain.first_probe_s(self._host, spec.probe.interval_s, status))
        while (spec := self._enabled()) is not None:
            reason = await self._look(spec)
            failures = 0 if not reason else failures + 1
            n += 1
            known = self._home.hosts[self._host]
            interval = domain.interval_s(spec, known.status)
            await self._rest(domain.next_probe_s(self._host, interval, known.status, failures, n))
        await self.close()

    def changed(self) -> None:
        """The host was registered anew: look at it soon, unless that changes nothing for probes. A
        probe of what it was is over at once."""
        spec = self._enabled()
        if spec is None or self._spec is None or not domain.probed_alike(self._spec, spec):
            self._asked.set()
            if self._probing is not None:
                self._probing.cancel()

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

    def _enabled(self) -> Host | None:
        spec = self._home.hosts[self._host].spec
        return spec if spec is not None and spec.enabled else None

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()

    async def _look(self, spec: Host) -> str:
        """Probe the host, or note why that is not to be; return what is wrong with it."""
        self._asked.clear()
        self._begun += 1
        seq = self._home.hosts[self._host].seq
        if (held := self._home.held(self._host)) is not None:
            await self.close()
            await self._home.record(Staged(self._host, seq, held))
            reason = ""
        else:
            reason = await self._probe(spec, seq)
        async with self._done:
            self._ended = self._begun
            self._done.notify_all()
        return reason

    async def _probe(self, spec: Host, seq: int) -> str:
        failing = self._home.failing(self._host)
        answer = await self._answer(spec)
        if answer is None:
            return ""
        # Calls that could not be made while it was probed weigh more than a good answer.
        reason = answer.reason or failing or self._home.failing(self._host)
        if reason:
            log.warning("host_sick", host=self._host, reason=reason, detail=answer.detail)
        flapping = self._home.flapping(self._host) or answer.note
        await self._home.record(
            ProbeEnded(
                *(self._host, seq, reason, answer.latency_ms, answer.discovery, flapping),
                said=answer.said,
            )
        )
        return reason

    async def _answer(self, spec: Host) -> child.ProbeOutcome | None:
        """What a probe finds, once there is a place for it; None: nothing, or it is not wanted any
        more."""
        self._spec = spec
        probing = self._probing = asyncio.create_task(self._in_turn(spec))
        try:
            await asyncio.wait([probing])
        finally:
            self._probing = None
            probing.cancel()
        if not probing.cancelled():
            return probing.result()
        await self.close()
        return None

    async def _in_turn(self, spec: Host) -> child.ProbeOutcome | None:
        async with self._home.turn(spec):
            prober = await self._prober_of(spec)
            probing = asyncio.create_task(prober.probe())
            try:
                await asyncio.wait([probing], timeout=PLACE_S)
            except asyncio.CancelledError:
                probing.cancel()
                await asyncio.wait([probing])
                raise
        # Its host is starting, which may take long.
        try:
            return await probing
        finally:
            probing.cancel()

    async def _prober_of(self, spec: Host) -> child.Prober:
        """The one at hand, unless the host has changed so that another must be started."""
        if self._prober is None or self._made is None or not domain.probed_alike(self._made, spec):
            await self.close()
            self._prober, self._made = self._home.prober(spec), spec
        return self._prober
