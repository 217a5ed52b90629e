"""One host with its real server: probed as the registry does, called as the executor does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from contracts.facts import TaskRouted
from contracts.host import Host
from contracts.route import Policy, Route
from contracts.task import TaskSpec, canonical
from services.executor.attempt.call import Call, HostSession, Opening
from services.executor.attempt.plan import KnownHost, prepare
from services.executor.attempt.workspace import Workspace, WorkspaceLimits
from services.executor.hosts.kinds import open_session
from services.registry.domain import discovered
from services.registry.probes import child


class Bench:
    """One host, probed by the registry and called by the executor."""

    def __init__(self, host: Host, session: HostSession, folder: Path) -> None:
        self.host = host
        self._session = session
        self._folder = folder
        self._attempts = 0

    def open_all_tools(self) -> None:
        """Let `mcp.call` name any tool, as if an operator had said so."""
        self.host = msgspec.structs.replace(self.host, callable_tools=None)

    async def run(self, type_: str, input_: dict[str, Any]) -> dict[str, Any]:
        """Run one attempt of a task exactly as the executor does, without a log."""
        self._attempts += 1
        raw = canonical(input_)
        route = Route(
            host=self.host.id,
            host_seq=1,
            basis=1,
            now=0.0,
            term=1,
            policy=Policy(1, ""),
            input_sha256="",
        )
        routed = TaskRouted(
            id="r", by="t", user="ann", task="t1", attempt=self._attempts, route=route
        )
        spec = TaskSpec(type=type_, input=msgspec.Raw(raw))
        plan = prepare(KnownHost(1, self.host), routed, spec, raw, "permit")
        workspace = Workspace(self._folder, "ann", "t1", self._attempts)
        try:
            await workspace.fill("ann", input_.get("files"), None, WorkspaceLimits(1000, 1 << 20))
            answer = await self._session.call(Call(plan, workspace, no_progress, always))
            assert isinstance(answer, dict), "bigger than these tests need it"
            return answer
        finally:
            await workspace.remove()


async def no_progress(progress: float, total: float | None, message: str) -> None:
    """Nobody watches."""


async def always() -> bool:
    return True


@contextlib.asynccontextmanager
async def bench(
    host: Host, folder: Path, reach: child.Reach = child.UNEQUIPPED, bearer: str | None = None
) -> AsyncIterator[Bench]:
    """Probe the host, which has to be well, and open a session; `bearer` is the user's secret."""
    prober = child.prober(host, asyncio.Semaphore(1), 30.0, reach)
    answer = await prober.probe()
    await prober.close()
    assert answer.reason == ""
    assert answer.discovery is not None
    host = discovered(host, answer.discovery)
    session = open_session(Opening(host, folder, bearer=bearer))
    try:
        yield Bench(host, session, folder / "workspaces")
    finally:
        await session.close()
