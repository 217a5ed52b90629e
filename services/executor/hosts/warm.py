"""Opens the sessions of hosts before the first task needs them: some servers start for seconds.

One after the other, because starts are heavy; what fails here is tried again by the first call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from contracts.host import Host, Placement, Stdio
from services.executor.attempt.call import HostError
from services.executor.attempt.plan import KnownHost
from services.executor.hosts.pool import Pool
from services.process import telemetry

log = telemetry.get_logger()


def wanted(host: Host) -> bool:
    """Whether a session may be opened ahead: for a local server that its first probe has met, and
    whose sessions are everybody's."""
    return (
        host.enabled
        and host.sessions == "shared"
        and host.placement is Placement.ORCHESTRATOR
        and isinstance(host.endpoint, Stdio)
        and bool(host.tools)
    )


class Warmer:
    """Goes through the hosts that are new or have changed."""

    def __init__(self, pool: Pool, get: Callable[[str], KnownHost | None]) -> None:
        """`get` returns a host as it is now."""
        self._pool = pool
        self._get = get
        # A host that changes again while it waits is still one start.
        self._waiting: dict[str, None] = {}
        self._some = asyncio.Event()

    def add(self, hosts: Iterable[str]) -> None:
        """Have these hosts' sessions opened soon."""
        self._waiting |= dict.fromkeys(hosts)
        self._some.set()

    async def run(self) -> None:
        """Open what waits, for ever."""
        while True:
            await self._some.wait()
            while self._waiting:
                name = next(iter(self._waiting))
                del self._waiting[name]
                await self._open(name)
            self._some.clear()

    async def _open(self, name: str) -> None:
        known = self._get(name)
        if known is None or not wanted(known.host):
            return
        try:
            await self._pool.warm(known)
        except HostError as error:
            log.warning("host_not_warmed", host=name, error=error.message)
