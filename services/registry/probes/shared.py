"""Probes of programs on this machine: in the session in which an executor makes their calls.

Health is what calls see, and a server is one process. A process of the registry's own is only where
no executor has the host; it ends before one begins.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import msgspec
from mcp import MCPError

from contracts.errors import Rejected
from contracts.held import SessionAnswer, SessionRequest, SessionState
from contracts.host import Host
from services.outside.mcp_child import Tail, log_path
from services.outside.mcp_errors import said_error
from services.outside.mcp_session import Line, TooLate
from services.registry.probes.base import ProbeOutcome, Prober, Reach, Sick
from services.registry.probes.child import McpProber
from services.registry.probes.executors import (
    UNPACKED_BYTES,
    ExecutorLost,
    ExecutorPeers,
    Unasked,
)
from services.registry.probes.held import HeldLine
from services.registry.probes.told import LastAnswer

TRIES = 3
"""Sessions that may be over in the middle of a probe; after that nothing is said of the host."""


class ProbedHost(NamedTuple):
    """Whom to probe."""

    host: Host
    seq: int
    limit_s: float


class _Held:
    """A session of an executor, and our side of it."""

    def __init__(
        self, instance: str, begun: SessionAnswer, executors: ExecutorPeers, asked: ProbedHost
    ):
        self.instance = instance
        self.begun = begun
        self._executors = executors
        self._asked = asked
        self.lost = False

    async def ask(self, method: str, params: msgspec.Raw) -> SessionAnswer:
        """Make a request in it. Raises ExecutorLost, Rejected."""
        host, seq, limit_s = self._asked
        request = SessionRequest(host.id, seq, self.begun.session, method, params, limit_s)
        return await self._executors.ask(self.instance, request)

    async def busy(self) -> bool:
        """Whether it is silent because a call is at work in it; else it has been ended."""
        try:
            answer = await self.ask("", msgspec.Raw(b"{}"))
        except (ExecutorLost, Rejected):
            return True
        return answer.state in (SessionState.BUSY, SessionState.GONE)

    def lose(self) -> None:
        """It is over, which says nothing of the host."""
        self.lost = True

    async def find(self, told: LastAnswer) -> Line:
        """Its line, as a probe's session begins with it; or why there is none."""
        begun = self.begun
        match begun.state:
            case SessionState.LATE:
                raise TooLate
            case SessionState.UNSTARTABLE:
                raise OSError(begun.text)
            case SessionState.ERROR:
                error = msgspec.json.decode(said_error(0, begun.data))["error"]
                raise MCPError(error["code"], error["message"], error["data"])
        return HeldLine(begun, self.ask, told, self.lose, UNPACKED_BYTES)


class SharedProber:
    """Asks one program, where it runs."""

    def __init__(
        self,
        asked: ProbedHost,
        own: Prober,
        executors: ExecutorPeers,
        starts: asyncio.Semaphore,
        reach: Reach,
    ) -> None:
        """`own` asks a process of its own."""
        self._asked = asked
        self._own = own
        self._executors = executors
        self._starts = starts
        self._reach = reach
        self._held: _Held | None = None
        self._through: McpProber | None = None

    async def probe(self) -> ProbeOutcome | None:
        """Ask once."""
        for _ in range(TRIES):
            try:
                held = await self._find()
            except Sick as sick:
                return ProbeOutcome.of(sick)
            except Unasked:
                return None
            except ExecutorLost:
                continue
            if held is None:
                self._executors.alone.add(self._asked.host.id)
                return await self._own.probe()
            assert self._through is not None
            outcome = await self._through.probe()
            if held.lost or not self._executors.alive(held.instance):
                await self._let_go()
                continue
            if outcome.reason:
                await self._let_go()
                silent = outcome.reason.startswith("no answer")
                if silent and held.begun.state is SessionState.OPEN and await held.busy():
                    return None
            return outcome
        return None

    async def close(self) -> None:
        """Let go of the host; a process that was started for it ends."""
        await self._let_go()
        await self._alone_no_more()

    async def _find(self) -> _Held | None:
        """The session to ask in; None: no executor has one. Raises Sick, Unasked, ExecutorLost."""
        if (held := self._held) is not None:
            if not held.lost and self._executors.alive(held.instance):
                return held
            await self._let_go()
        host, seq, limit_s = self._asked
        if (instance := await self._executors.holder(host.id, seq)) is None:
            return None
        await self._alone_no_more()
        await self._reach.credentials(host)
        try:
            async with self._starts:
                begun = await self._executors.opened(instance, host.id, seq)
        except Rejected:
            return None
        if begun.state is SessionState.GONE:
            raise ExecutorLost(f"{instance} has just ended its session")
        self._held = held = _Held(instance, begun, self._executors, self._asked)
        logs = self._reach.logs
        tail = Tail(log_path(logs, host.id) if logs is not None else None)
        self._through = McpProber(host, held.find, self._starts, limit_s, tail)
        return held

    async def _let_go(self) -> None:
        through, self._through, self._held = self._through, None, None
        if through is not None:
            await through.close()

    async def _alone_no_more(self) -> None:
        self._executors.alone.discard(self._asked.host.id)
        await self._own.close()
