"""Places for probes of hosts with a URL: of those that go on at once, users' hosts have a share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from contracts.host import Host, Stdio, operated

PLACE_S = 15.0
"""A probe that takes longer, because its host says that it is starting, goes on without a place."""
FOREIGN = 2
"""All hosts of users together have one place in so many."""
FOREIGN_EACH = 4
"""One user's hosts have one place in so many."""


class ProbePlaces:
    """So many places."""

    def __init__(self, most: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._foreign = asyncio.Semaphore(max(1, most // FOREIGN))
        self._each = max(1, most // FOREIGN_EACH)
        self._users: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def turn(self, host: Host) -> AsyncIterator[None]:
        """Wait for a place and keep it. Programs of this machine need none: what starts has places
        of its own."""
        async with contextlib.AsyncExitStack() as stack:
            for places in self._wanted(host):
                await stack.enter_async_context(places)
            yield

    def _wanted(self, host: Host) -> tuple[asyncio.Semaphore, ...]:
        if isinstance(host.endpoint, Stdio):
            return ()
        if operated(host):
            return (self._all,)
        owner = host.owner or ""
        own = self._users.get(owner)
        if own is None:
            own = self._users[owner] = asyncio.Semaphore(self._each)
        return own, self._foreign, self._all
