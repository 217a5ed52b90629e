"""Subscriptions to hosts' resources: held in executors' sessions for as long as somebody listens.

They are asked for again and again, which does nothing where they stand: so a session that has ended
is subscribed to anew, and one that nobody asks about any more is forgotten with its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

from contracts.errors import Rejected
from services.gateway.peers.reads import HostReads, HostRefused
from services.gateway.rows import HostView
from services.process import telemetry

AGAIN_S = 20.0
"""How often each is asked for."""
SUBSCRIBE_S = 10.0
"""How long a host may take for one."""
MOST_OF_USER = 100
"""Resources that one user has subscribed to at one gateway …"""
MOST = 1000
"""… and all users together."""

log = telemetry.get_logger()

Held = tuple[str, str, str]
"""User, host, and the URI as the host has it."""


class TooManyHeld(Exception):
    """No more subscriptions; the text says whose limit it is."""


class HostSubscriptions:
    """What is subscribed to, and by how many."""

    def __init__(self, reads: HostReads, again_s: float = AGAIN_S) -> None:
        self._reads = reads
        self._again_s = again_s
        self._held: dict[Held, HostView] = {}
        self._wanted: Counter[Held] = Counter()
        self._keeping: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def add(self, user: str, host: HostView, uri: str) -> None:
        """Subscribe. Raises TooManyHeld, HostRefused, Rejected."""
        held = (user, host.id, uri)
        if held not in self._wanted:
            mine = sum(one[0] == user for one in self._wanted)
            for count, most in ((mine, MOST_OF_USER), (len(self._wanted), MOST)):
                if count >= most:
                    raise TooManyHeld(f"{most} resources are subscribed to, the most there may be")
        self._wanted[held] += 1
        try:
            await self._ask("resources/subscribe", held, host)
        except BaseException:
            self._less(held)
            raise
        self._held[held] = host
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())

    def remove(self, user: str, host: str, uri: str) -> None:
        """Somebody listens no more."""
        held = (user, host, uri)
        view = self._held.get(held)
        if self._less(held) and view is not None:
            task = asyncio.create_task(self._unsubscribe(held, view))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def close(self) -> None:
        """Ask hosts nothing any more."""
        for task in (*self._ending, *filter(None, (self._keeping,))):
            task.cancel()

    def _less(self, held: Held) -> bool:
        """One less wants it; whether that was the last one."""
        self._wanted[held] -= 1
        if self._wanted[held] > 0:
            return False
        del self._wanted[held]
        self._held.pop(held, None)
        return True

    async def _ask(self, method: str, held: Held, host: HostView) -> None:
        user, _, uri = held
        await self._reads.ask(host, user, method, {"uri": uri}, SUBSCRIBE_S)

    async def _unsubscribe(self, held: Held, host: HostView) -> None:
        # Its session forgets it at its end, whatever becomes of this.
        with contextlib.suppress(HostRefused, Rejected):
            await self._ask("resources/unsubscribe", held, host)

    async def _keep(self) -> None:
        """Ask for all again, for as long as there are some."""
        while self._held:
            await asyncio.sleep(self._again_s)
            await asyncio.gather(*(self._again(*one) for one in list(self._held.items())))
        self._keeping = None

    async def _again(self, held: Held, host: HostView) -> None:
        try:
            await self._ask("resources/subscribe", held, host)
        except (HostRefused, Rejected) as error:
            log.info("host_not_subscribed", host=host.id, uri=held[2], error=str(error))
        except Exception:
            # The others are asked for all the same.
            log.exception("host_not_subscribed", host=host.id, uri=held[2])
