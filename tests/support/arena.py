"""One orchestrator for many attacks: it is started anew only after one that has harmed it."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from tests.bench.others import warm
from tests.support.apart import Guest, World, served, world
from tests.support.processes import restarted


class Arena:
    """Where attackers meet the orchestrator; use `arena`."""

    def __init__(self, **variables: str) -> None:
        self._variables = variables
        self._stack = contextlib.AsyncExitStack()
        self._world: World | None = None
        self._numbers = itertools.count()

    @contextlib.asynccontextmanager
    async def attack(self) -> AsyncIterator[tuple[World, Guest, Guest]]:
        """The world, an attacker and another user, both new. Afterwards the other user is served,
        nothing was started again, and what the attacker has registered is taken away."""
        one = self._world or await self._started()
        self._world = None
        before = one.processes()
        number = next(self._numbers)
        guest, other = [Guest(one, await one.user(f"{name}-{number}")) for name in ("mal", "bob")]
        await served(other, 1)
        yield one, guest, other
        await served(other)
        await self._cleared(one, guest)
        assert restarted(before, one.processes()) == []
        self._world = one

    async def close(self) -> None:
        """Stop everything."""
        await self._stack.aclose()

    async def _started(self) -> World:
        await self.close()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="arena-"))
        one = await self._stack.enter_async_context(world(Path(folder), **self._variables))
        await warm(one, Guest(one, await one.user("first")))
        return one

    async def _cleared(self, one: World, guest: Guest) -> None:
        found = (await one.admin.get("/api/mcps")).json()["data"]
        for host in found:
            if host.get("owner") == guest.user.name:
                assert (await one.admin.delete(f"/api/mcps/{host['id']}")).status_code == 200
        with contextlib.suppress(httpx.HTTPError):
            await one.admin.delete(f"/api/tokens/{guest.user.id}")


@contextlib.asynccontextmanager
async def arena(**variables: str) -> AsyncIterator[Arena]:
    """An arena, nothing of which is running yet."""
    one = Arena(**variables)
    try:
        yield one
    finally:
        await one.close()
