"""Probes of MCP hosts through the official SDK: start once, list the tools, make the declared call.

A session is entered and left by one task of its own, for the SDK's sake; a failed probe ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec
import structlog
from mcp import Client, MCPError
from mcp_types import CONNECTION_CLOSED
from mcp_types import Tool as McpTool

from contracts.host import Host, Noop, Stdio, Tool
from contracts.nesting import too_deep
from services.mcp_child import STOP_S, Child, Tail, first
from services.registry.domain import Discovery

MAX_TOOLS = 2000
MAX_TOOLS_BYTES = 512 * 1024
"""What a host may say about itself: it has to fit into one fact."""
_MAX_LINE = 8 * 1024 * 1024
_MAX_TEXT = 300
_STOP_S = 10.0
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")

log = structlog.get_logger()


class Answer(msgspec.Struct, frozen=True):
    """What one probe found: `reason` is empty when all is well, else `<kind>: <explanation>`."""

    reason: str = ""
    latency_ms: float = 0.0
    discovery: Discovery | None = None


class Prober(Protocol):
    """Asks one host how it is, again and again."""

    async def probe(self) -> Answer:
        """Ask once. What is wrong with the host stands in the answer, never in an exception."""

    async def close(self) -> None:
        """Let go of the host; a process started for it ends."""


class Sick(Exception):
    """The host failed the probe; the text is the answer's reason."""


def prober(host: Host, starts: asyncio.Semaphore, limit_s: float) -> Prober:
    """The prober for this kind of host. `starts` bounds how many are started at once."""
    if isinstance(host.endpoint, Noop):
        return NoopProber()
    return McpProber(host, starts, limit_s)


class NoopProber:
    """The benchmark's host is part of the executor: it is there when the executor is."""

    async def probe(self) -> Answer:
        """Say that all is well."""
        return Answer(discovery=Discovery(tools=(Tool("noop", read_only=True, idempotent=True),)))

    async def close(self) -> None:
        """Nothing was started."""


class McpProber:
    """Keeps one process of the host for its probes and starts it again when it is gone."""

    def __init__(self, host: Host, starts: asyncio.Semaphore, limit_s: float) -> None:
        self._host = host
        self._starts = starts
        self._limit_s = limit_s
        self._session: Session | None = None

    async def probe(self) -> Answer:
        """List the tools past every cache and make the declared call; start the host if need be."""
        try:
            if self._session is None or not self._session.alive:
                await self._start()
            started = time.perf_counter()
            discovery = await self._ask()
            return Answer("", (time.perf_counter() - started) * 1000, discovery)
        except Sick as sick:
            await self.close()
            return Answer(str(sick))

    async def close(self) -> None:
        """End the host's process."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _start(self) -> None:
        await self.close()
        async with self._starts:
            self._session = Session(self._host)
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
    """One MCP session over one child process, owned by one task."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._closing = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._client: Client | None = None
        self._tail = Tail()

    @property
    def alive(self) -> bool:
        """Whether the process is believed to be there."""
        return self._owner is not None and not self._owner.done()

    async def open(self) -> None:
        """Start the process and shake hands within the host's start budget. Raises Sick."""
        ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(ready), name=f"probe/{self._host.id}")
        budget = self._host.limits.start_s
        await asyncio.wait((ready, self._owner), timeout=budget, return_when="FIRST_COMPLETED")
        if not ready.done():
            ready.cancel()
            raise Sick(f"no answer: nothing within {budget:g} s of its start{self._said()}")
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
            raise Sick(f"probe failed: {tool} answered: {_short(text)}")

    async def close(self) -> None:
        """End the session and every process of its group."""
        self._closing.set()
        if self._owner:
            if self._client is None:
                self._owner.cancel()  # It is still shaking hands, which may take long.
            _, late = await asyncio.wait((self._owner,), timeout=_STOP_S)
            for task in late:
                task.cancel()
                await asyncio.wait((task,), timeout=_STOP_S)

    async def _own(self, ready: asyncio.Future[Client]) -> None:
        endpoint = self._host.endpoint
        assert isinstance(endpoint, Stdio)
        child: Child | None = None
        failure: Exception | None = None
        try:
            child = await Child.start(endpoint, self._tail, _MAX_LINE)
            budget = self._host.limits.start_s
            async with Client(child.streams(), read_timeout_seconds=budget) as client:
                ready.set_result(client)
                await first(self._closing, child.exited)
        except Exception as error:
            failure = error
        finally:
            if child is not None:
                await child.stop(STOP_S if self._closing.is_set() else 0.0)
        # Told only now: by then all that the process said has been read.
        if failure is not None and not ready.done():
            ready.set_exception(failure)
        elif failure is not None:
            log.info("probe_session_lost", host=self._host.id, error=_short(repr(_root(failure))))

    @contextlib.asynccontextmanager
    async def _sick(self, what: str) -> AsyncIterator[None]:
        try:
            yield
        except (MCPError, RuntimeError, ValueError) as error:
            said = ""
            if _is_closed(error) and self._owner is not None:
                await asyncio.wait((self._owner,), timeout=_STOP_S)
                said = self._said()
            raise Sick(f"{what}: {_short(str(error))}{said}") from None

    def _why(self, error: BaseException) -> str:
        root = _root(error)
        if isinstance(root, OSError) and not isinstance(root, ConnectionError):
            return f"not started: {_short(str(root))}"
        if isinstance(root, ConnectionError) or _is_closed(root):
            return f"not started: it ended before it answered{self._said()}"
        return f"not started: {_short(str(root) or repr(root))}{self._said()}"

    def _said(self) -> str:
        """The last thing the process wrote on stderr: mostly the reason."""
        line = self._tail.lines(1)
        return f'; it last wrote: "{_short(line)}"' if line else ""


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


def _short(text: str) -> str:
    """One line without control characters, fit for a reason."""
    line = " ".join(_ESCAPES.sub("", text).split())
    return line if len(line) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}…"
