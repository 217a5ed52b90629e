"""Probes of hosts. MCP through the official SDK: connect, list the tools, make the declared call.

A session is entered and left by one task of its own, for the SDK's sake; a failed probe ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

import msgspec
import structlog
from mcp import Client, MCPError
from mcp_types import CONNECTION_CLOSED
from mcp_types import Tool as McpTool

from contracts.host import Execute, Host, Noop, Stdio, StreamableHttp, Tool
from contracts.nesting import too_deep
from services.outside.mcp_child import STOP_S, McpChild, Tail, first
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
from services.registry.probes.http import ExecuteProber, PersonalProber, WebLine

__all__ = ["UNEQUIPPED", "ProbeOutcome", "Prober", "Reach", "Sick", "prober"]

MAX_TOOLS = 2000
MAX_TOOLS_BYTES = 512 * 1024
"""What a host may say about itself: it has to fit into one fact."""
_MAX_LINE = 8 * 1024 * 1024
_STOP_S = 10.0

log = structlog.get_logger()


class SessionLine(Protocol):
    """The connection of one session: a process with its pipes, or a URL."""

    gone: asyncio.Event
    """Set when the server is known to be gone."""

    def streams(self) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """The SDK's transport: streams of messages from and to the server."""

    async def stop(self, *, kindly: bool) -> None:
        """Let go of the server."""

    def problem(self, error: BaseException | None) -> str:
        """What an error of this kind of connection means, as a reason; None: it is only late."""


Connect: TypeAlias = Callable[[Tail], Awaitable[SessionLine]]
"""Starts or finds the server; its stderr goes to the tail. Raises OSError, Sick."""


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
            return McpProber(host, lambda tail: _started(endpoint, tail), starts, limit_s)
        case StreamableHttp():
            # Nothing starts on this machine, and a session is kept by nobody: the server may end
            # it at any time, and while it sleeps only a start has the patience to wake it.
            own = asyncio.Semaphore(1)
            web = McpProber(host, lambda _: _found(host, reach), own, limit_s, lasting=False)
            return PersonalProber(host, web, reach) if personal(host) else web


async def _started(endpoint: Stdio, tail: Tail) -> SessionLine:
    return ProcessLine(await McpChild.start(endpoint, tail, _MAX_LINE))


async def _found(host: Host, reach: Reach) -> SessionLine:
    return WebLine(host, reach, await reach.shared(host), _MAX_LINE)


class ProcessLine:
    """A child process; see `Line`."""

    def __init__(self, child: McpChild) -> None:
        self._child = child
        self.gone = child.exited

    def streams(self) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """Return the process's pipes."""
        return self._child.streams()

    async def stop(self, *, kindly: bool) -> None:
        """End the process and its group."""
        await self._child.stop(STOP_S if kindly else 0.0)

    def problem(self, error: BaseException | None) -> str:
        """A process makes no errors of its own."""
        return ""


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
        self._session: Session | None = None

    async def probe(self) -> ProbeOutcome:
        """List the tools past every cache and make the declared call; start the host if need be."""
        try:
            if self._session is None or not self._session.alive:
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
            await session.close()

    async def _start(self) -> None:
        await self.close()
        async with self._starts:
            self._session = Session(self._host, self._connect)
            await self._session.open()
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


class Session:
    """One MCP session over one connection, owned by one task."""

    def __init__(self, host: Host, connect: Connect) -> None:
        self._host = host
        self._connect = connect
        self._line: SessionLine | None = None
        self._closing = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._tail = Tail()

    @property
    def alive(self) -> bool:
        """Whether the server is believed to be there."""
        return self._owner is not None and not self._owner.done()

    async def open(self) -> None:
        """Connect and shake hands within the host's start budget. Raises Sick."""
        ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(ready), name=f"probe/{self._host.id}")
        budget = self._host.limits.start_s
        await asyncio.wait((ready, self._owner), timeout=budget, return_when="FIRST_COMPLETED")
        if not ready.done():
            ready.cancel()
            late = f"no answer: nothing within {budget:g} s of its start{self._said()}"
            over = self._owner.done()
            raise Sick(self._problem(None) or ("not started: it was cut off" if over else late))
        if error := ready.exception():
            raise Sick(self._why(error)) from None
        self._client = ready.result()

    async def discover(self) -> Discovery:
        """List what the host offers. Raises Sick."""
        assert self._client is not None
        tools: list[McpTool] = []
        cursor: str | None = None
        async with self._sick("tools/list failed"):
            while True:
                page = await self._client.list_tools(cursor=cursor, cache_mode="refresh")
                tools += page.tools
                cursor = page.next_cursor
                if not cursor or len(tools) > MAX_TOOLS:
                    break
        listed = tuple(_tool(tool) for tool in tools)
        size = len(msgspec.json.encode(listed))
        if len(tools) > MAX_TOOLS or size > MAX_TOOLS_BYTES:
            raise Sick(f"too large: it lists {len(tools)} tools in {size} bytes")
        info = self._client.server_info
        server = f"{info.name} {info.version}".strip() if info else ""
        return Discovery(listed, server, str(self._client.protocol_version or ""))

    async def call(self, tool: str, arguments: dict[str, Any], found: Discovery) -> None:
        """Make the declared probe call. Raises Sick if it fails, or answers that it failed."""
        assert self._client is not None
        if tool not in {listed.name for listed in found.tools}:
            raise Sick(f"probe failed: the host lists no tool {tool}. Correct probe.tool.")
        async with self._sick(f"probe failed: {tool}"):
            result = await self._client.call_tool(tool, arguments)
        if result.is_error or _says_error(result.structured_content):
            text = " ".join(part.text for part in result.content if part.type == "text")
            raise Sick(f"probe failed: {tool} answered: {short(text)}")

    async def close(self) -> None:
        """End the session and every process that was started for it."""
        self._closing.set()
        if self._owner:
            if self._client is None:
                self._owner.cancel()  # It is still shaking hands, which may take long.
            _, late = await asyncio.wait((self._owner,), timeout=_STOP_S)
            for task in late:
                task.cancel()
                await asyncio.wait((task,), timeout=_STOP_S)

    async def _own(self, ready: asyncio.Future[Client]) -> None:
        failure: Exception | None = None
        try:
            line = self._line = await self._connect(self._tail)
            budget = self._host.limits.start_s
            async with Client(line.streams(), read_timeout_seconds=budget) as client:
                ready.set_result(client)
                await first(self._closing, line.gone)
        except Exception as error:
            failure = error
        finally:
            if self._line is not None:
                await self._line.stop(kindly=self._closing.is_set())
        # Told only now: by then all that the process said has been read.
        if failure is not None and not ready.done():
            ready.set_exception(failure)
        elif failure is not None:
            log.info("probe_session_lost", host=self._host.id, error=short(repr(_root(failure))))

    @contextlib.asynccontextmanager
    async def _sick(self, what: str) -> AsyncIterator[None]:
        try:
            yield
        except (MCPError, RuntimeError, ValueError) as error:
            if problem := self._problem(error):
                raise Sick(problem) from None
            said = ""
            if _is_closed(error) and self._owner is not None:
                await asyncio.wait((self._owner,), timeout=_STOP_S)
                said = self._said()
            raise Sick(f"{what}: {short(str(error))}{said}") from None

    def _why(self, error: BaseException) -> str:
        root = _root(error)
        if isinstance(root, Sick):
            return str(root)
        if problem := self._problem(root):
            return problem
        if isinstance(root, OSError) and not isinstance(root, ConnectionError):
            return f"not started: {short(str(root))}"
        if isinstance(root, ConnectionError) or _is_closed(root):
            return f"not started: it ended before it answered{self._said()}"
        return f"not started: {short(str(root) or repr(root))}{self._said()}"

    def _problem(self, error: BaseException | None) -> str:
        return self._line.problem(error) if self._line is not None else ""

    def _said(self) -> str:
        """The last thing the process wrote on stderr: mostly the reason."""
        line = self._tail.lines(1)
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


def _root(error: BaseException) -> BaseException:
    """The first real error inside the SDK's exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
