"""Probes of hosts. MCP through the official SDK: connect, list the tools, make the declared call.

A failed probe ends its session.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import structlog
from mcp import MCPError
from mcp_types import CONNECTION_CLOSED
from mcp_types import Tool as McpTool

from contracts.host import Execute, Host, Noop, Stdio, StreamableHttp, Tool
from contracts.nesting import too_deep
from services.outside.mcp_child import McpChild, Tail
from services.outside.mcp_session import Connect, Line, McpSession, TooLate, root
from services.registry.domain import Discovery
from services.registry.probes.base import (
    UNEQUIPPED,
    ProbeOutcome,
    Prober,
    Reach,
    Sick,
    personal,
    short,
)
from services.registry.probes.http import ExecuteProber, PersonalProber, problem, web

__all__ = ["UNEQUIPPED", "ProbeOutcome", "Prober", "Reach", "Sick", "prober"]

MAX_TOOLS = 2000
MAX_TOOLS_BYTES = 512 * 1024
"""What a host may say about itself: it has to fit into one fact."""
_MAX_LINE = 8 * 1024 * 1024

log = structlog.get_logger()


def prober(
    host: Host, starts: asyncio.Semaphore, limit_s: float, reach: Reach = UNEQUIPPED
) -> Prober:
    """The prober for this kind of host. `starts` bounds how many processes start at once."""
    match host.endpoint:
        case Noop():
            return NoopProber()
        case Execute():
            return ExecuteProber(host, limit_s, reach)
        case Stdio() as endpoint:
            return McpProber(host, lambda: _started(endpoint), starts, limit_s)
        case StreamableHttp():
            # Nothing starts on this machine, and a session is kept by nobody: the server may end
            # it at any time, and while it sleeps only a start has the patience to wake it.
            own = asyncio.Semaphore(1)
            found = McpProber(host, lambda: _found(host, reach), own, limit_s, lasting=False)
            return PersonalProber(host, found, reach) if personal(host) else found


async def _started(endpoint: Stdio) -> Line:
    return await McpChild.start(endpoint, Tail(), _MAX_LINE)


async def _found(host: Host, reach: Reach) -> Line:
    return web(host, reach, await reach.shared(host), _MAX_LINE)


class NoopProber:
    """The benchmark's host is part of the executor: it is there when the executor is."""

    async def probe(self) -> ProbeOutcome:
        """Say that all is well."""
        return ProbeOutcome(
            discovery=Discovery(tools=(Tool("noop", read_only=True, idempotent=True),))
        )

    async def close(self) -> None:
        """Nothing was started."""


class McpProber:
    """Keeps one session with the host for its probes, and opens it again when it is gone."""

    def __init__(
        self,
        host: Host,
        connect: Connect,
        starts: asyncio.Semaphore,
        limit_s: float,
        *,
        lasting: bool = True,
    ) -> None:
        """`lasting`: the session is worth keeping until the next probe."""
        self._host = host
        self._connect = connect
        self._starts = starts
        self._limit_s = limit_s
        self._lasting = lasting
        self._session: ProbeSession | None = None

    async def probe(self) -> ProbeOutcome:
        """List the tools past every cache and make the declared call; start the host if need be."""
        try:
            if self._session is None or self._session.dying:
                await self._start()
            started = time.perf_counter()
            discovery = await self._ask()
            answer = ProbeOutcome("", (time.perf_counter() - started) * 1000, discovery)
        except Sick as sick:
            await self.close()
            return ProbeOutcome(str(sick))
        if not self._lasting:
            await self.close()
        return answer

    async def close(self) -> None:
        """End the session, and with it the host's process."""
        session, self._session = self._session, None
        if session:
            await session.stop()

    async def _start(self) -> None:
        await self.close()
        async with self._starts:
            self._session = ProbeSession(self._host, self._connect)
            await self._session.ready()
            # The first answer belongs to the start: some servers do their slow loading here.
            await self._within(self._session.discover(), self._host.limits.start_s, "its tools")

    async def _ask(self) -> Discovery:
        assert self._session is not None
        asked = "its tools"
        try:
            async with asyncio.timeout(self._limit_s):
                discovery = await self._session.discover()
                if tool := self._host.probe.tool:
                    asked = f"the probe {tool}"
                    await self._session.call(tool, self._host.probe.arguments, discovery)
        except TimeoutError:
            raise Sick(f"no answer: asked for {asked} for {self._limit_s:g} s") from None
        return discovery

    async def _within(self, work: Any, limit_s: float, what: str) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await work
        except TimeoutError:
            raise Sick(f"no answer: asked for {what} for {limit_s:g} s after the start") from None


class ProbeSession(McpSession):
    """One session with a host, and what a probe asks in it."""

    def __init__(self, host: Host, connect: Connect) -> None:
        self._host = host
        budget = host.limits.start_s
        super().__init__(f"probe/{host.id}", connect, budget, read_timeout_seconds=budget)

    async def ready(self) -> None:
        """Return when the host has answered, within its start budget. Raises Sick."""
        await self.settled.wait()
        if self.client is None:
            raise Sick(self._why())

    async def discover(self) -> Discovery:
        """List what the host offers. Raises Sick."""
        assert self.client is not None
        tools: list[McpTool] = []
        cursor: str | None = None
        async with self._sick("tools/list failed"):
            while True:
                page = await self.client.list_tools(cursor=cursor, cache_mode="refresh")
                tools += page.tools
                cursor = page.next_cursor
                if not cursor or len(tools) > MAX_TOOLS:
                    break
        listed = tuple(_tool(tool) for tool in tools)
        size = len(msgspec.json.encode(listed))
        if len(tools) > MAX_TOOLS or size > MAX_TOOLS_BYTES:
            raise Sick(f"too large: it lists {len(tools)} tools in {size} bytes")
        info = self.client.server_info
        server = f"{info.name} {info.version}".strip() if info else ""
        return Discovery(listed, server, str(self.client.protocol_version or ""))

    async def call(self, tool: str, arguments: dict[str, Any], found: Discovery) -> None:
        """Make the declared probe call. Raises Sick if it fails, or answers that it failed."""
        assert self.client is not None
        if tool not in {listed.name for listed in found.tools}:
            raise Sick(f"probe failed: the host lists no tool {tool}. Correct probe.tool.")
        async with self._sick(f"probe failed: {tool}"):
            result = await self.client.call_tool(tool, arguments)
        if result.is_error or _says_error(result.structured_content):
            text = " ".join(part.text for part in result.content if part.type == "text")
            raise Sick(f"probe failed: {tool} answered: {short(text)}")

    def _told(self) -> None:
        if self.failure is not None and self.client is not None:
            log.info(
                "probe_session_lost", host=self._host.id, error=short(repr(root(self.failure)))
            )

    @contextlib.asynccontextmanager
    async def _sick(self, what: str) -> AsyncIterator[None]:
        try:
            yield
        except (MCPError, RuntimeError, ValueError) as error:
            if known := self._problem(error):
                raise Sick(known) from None
            said = ""
            if _is_closed(error):
                self.end()
                # By then all that the process said has been read.
                await self.over.wait()
                said = self._said()
            raise Sick(f"{what}: {short(str(error))}{said}") from None

    def _why(self) -> str:
        """Why it has not become a session, as a reason."""
        match self.failure:
            case None:
                return "not started: it was cut off"
            case TooLate():
                late = f"no answer: nothing within {self._host.limits.start_s:g} s of its start"
                return self._problem(None) or f"{late}{self._said()}"
            case failure:
                error = root(failure)
        if isinstance(error, Sick):
            return str(error)
        if known := self._problem(error):
            return known
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            return f"not started: {short(str(error))}"
        if isinstance(error, ConnectionError) or _is_closed(error):
            return f"not started: it ended before it answered{self._said()}"
        return f"not started: {short(str(error) or repr(error))}{self._said()}"

    def _problem(self, error: BaseException | None) -> str:
        return problem(self.line, self._host, error)

    def _said(self) -> str:
        """The last thing the process wrote on stderr: mostly the reason."""
        line = self.last_words(1)
        return f'; it last wrote: "{short(line)}"' if line else ""


def _tool(tool: McpTool) -> Tool:
    hints = tool.annotations
    return Tool(
        tool.name,
        tool.description or "",
        # A schema nested beyond all sense is left out: it would stand in the log for ever.
        {} if too_deep(msgspec.json.encode(tool.input_schema)) else tool.input_schema,
        hints.read_only_hint if hints else None,
        hints.idempotent_hint if hints else None,
    )


def _says_error(structured: Any) -> bool:
    """Some servers report a failure as data: `{"status": "error", ...}`, perhaps under `result`."""
    if isinstance(structured, dict) and set(structured) == {"result"}:
        structured = structured["result"]
    return isinstance(structured, dict) and structured.get("status") == "error"


def _is_closed(error: BaseException) -> bool:
    return isinstance(error, MCPError) and error.code == CONNECTION_CLOSED
