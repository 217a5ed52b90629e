"""Probes of hosts. MCP through the official SDK: connect, list the tools, make the declared call.

A failed probe ends its session.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import structlog
from mcp import MCPError
from mcp_types import CONNECTION_CLOSED, ToolAnnotations
from mcp_types import Tool as McpTool

from contracts.host import Execute, Host, Noop, OpenApi, Stdio, StreamableHttp, Tool, operated
from contracts.nesting import too_deep
from services.keys.hosttokens import signs_in
from services.keys.start_words import start_words
from services.outside.apart.pool import is_apart
from services.outside.mcp_child import STARTED_LINES, McpChild, Tail, environment_for, log_path
from services.outside.mcp_errors import theirs
from services.outside.mcp_listing import features
from services.outside.mcp_reading import McpReader
from services.outside.mcp_session import AUTO, Line, McpSession, TooLate, root
from services.registry.domain import Discovery
from services.registry.probes.apart import ApartProber
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
from services.registry.probes.linked import LinkedProber
from services.registry.probes.openapi import OpenApiProber
from services.registry.probes.told import LastAnswer

__all__ = ["UNEQUIPPED", "ProbeOutcome", "Prober", "Reach", "Sick", "prober"]

MAX_TOOLS = 2000
MAX_PAGES = 200
MAX_TOOLS_BYTES = 512 * 1024
"""What a host may say about itself: it has to fit into one fact. What calls do not need makes
way."""
MOST_INSTRUCTIONS = 8 * 1024
"""Characters of what it says to those who use it."""
MORE = "; the operator's log of this host has more"
_MAX_LINE = 8 * 1024 * 1024

log = structlog.get_logger()

T = TypeVar("T")
Find = Callable[[LastAnswer], Awaitable[Line]]
"""Starts or finds the server, whose tools' answers are kept. Raises OSError with words for
people."""


def prober(
    host: Host, starts: asyncio.Semaphore, limit_s: float, reach: Reach = UNEQUIPPED
) -> Prober:
    """The prober for this host. `starts` bounds how many processes start at once.

    What users bring is asked by a process apart, if there are such.
    """
    if (tokens := reach.tokens) is not None and signs_in(host):

        def shown(token: str | None) -> Prober:
            return prober(host, starts, limit_s, reach._replace(tokens=None, handed=token))

        return LinkedProber(host, shown, tokens)
    if reach.workers is not None and is_apart(host):
        return ApartProber(host, reach.workers, limit_s, reach)
    match host.endpoint:
        case Noop():
            return NoopProber()
        case Execute():
            return ExecuteProber(host, limit_s, reach)
        case OpenApi():
            return OpenApiProber(host, limit_s, reach)
        case Stdio():
            tail = _tail(host, reach)

            async def start(told: LastAnswer) -> Line:
                return await _started(host, reach, tail, McpReader(told))

            return McpProber(host, start, starts, limit_s, tail)
        case StreamableHttp():
            # Nothing starts on this machine, and a session is kept by nobody: the server may end
            # it at any time, and while it sleeps only a start has the patience to wake it.
            own = asyncio.Semaphore(1)
            tail = _tail(host, reach)

            async def find(told: LastAnswer) -> Line:
                secrets = await reach.shared(host)
                return web(secrets.put_into(host), reach, secrets.bearer, _MAX_LINE, told)

            found = McpProber(host, find, own, limit_s, tail, lasting=False)
            return PersonalProber(host, found, reach) if personal(host) else found


def _tail(host: Host, reach: Reach) -> Tail:
    """Where the host's own words go: the log that executors write too, if there is a folder."""
    return Tail(log_path(reach.logs, host.id) if reach.logs is not None else None)


async def _started(host: Host, reach: Reach, tail: Tail, reader: McpReader) -> Line:
    secrets = await reach.credentials(host)
    endpoint = secrets.put_into(host).endpoint
    assert isinstance(endpoint, Stdio)
    tail.hide = secrets.hide
    return await McpChild.start(endpoint, tail, _MAX_LINE, reader)


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
        find: Find,
        starts: asyncio.Semaphore,
        limit_s: float,
        tail: Tail,
        *,
        lasting: bool = True,
    ) -> None:
        """`find` starts or finds the server; `lasting`: the session is worth keeping until the next
        probe."""
        self._tail = tail
        self._noted = ""
        self._host = host
        self._find = find
        self._mode = AUTO
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
            took_ms = (time.perf_counter() - started) * 1000
            assert self._session is not None
            answer = ProbeOutcome("", took_ms, discovery, self._session.note())
        except Sick as sick:
            await self.close()
            self._note(str(sick), sick.detail)
            return ProbeOutcome.of(sick)
        self._noted = ""
        if not self._lasting:
            await self.close()
        return answer

    def _note(self, reason: str, detail: str) -> None:
        """Tell the operator what users are not told, once while it stays so."""
        if detail and detail != self._noted:
            self._tail.mark(f"probe: {reason}: {detail}")
        self._noted = detail

    async def close(self) -> None:
        """End the session, and with it the host's process."""
        session, self._session = self._session, None
        if session:
            await session.stop()
            self._mode = session.next_mode

    async def _start(self) -> None:
        await self.close()
        async with self._starts:
            self._session = ProbeSession(self._host, self._find, self._mode)
            await self._session.ready()
            # The first answer belongs to the start: some servers do their slow loading here.
            await self._within(self._session.discover(), self._host.limits.start_s, "its tools")

    async def _ask(self) -> Discovery:
        session = self._session
        assert session is not None
        discovery = await self._within(session.discover(), self._limit_s, "its tools")
        if tool := self._host.probe.tool:
            # A program's first call belongs to its start too: it may load for longer then.
            start_s = self._host.limits.start_s if self._lasting and not session.proven else 0.0
            call = session.call(tool, self._host.probe.arguments, discovery)
            await self._within(call, max(self._limit_s, start_s), f"the probe {tool}")
            session.proven = True
        return discovery

    async def _within(self, work: Awaitable[T], limit_s: float, what: str) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError:
            raise Sick(f"no answer: asked for {what} for {limit_s:g} s") from None


class ProbeSession(McpSession):
    """One session with a host, and what a probe asks in it."""

    def __init__(self, host: Host, find: Find, mode: str) -> None:
        self._host = host
        self._told_last = told = LastAnswer()
        name = f"probe/{host.id}"
        super().__init__(name, lambda: find(told), host.limits.start_s, mode=mode)
        self.proven = False
        """Its probe's call has been answered."""

    async def ready(self) -> None:
        """Return when the host has answered, within its start budget. Raises Sick."""
        await self.settled.wait()
        if self.client is None:
            raise self._why()

    async def discover(self) -> Discovery:
        """List what the host offers. Raises Sick."""
        assert self.client is not None
        listed: list[Tool] = []
        size, whole = 0, True
        cursor: str | None = None
        async with self._sick("tools/list failed"):
            for _ in range(MAX_PAGES):
                page = await self.client.list_tools(cursor=cursor, cache_mode="refresh")
                some = [_tool(tool) for tool in page.tools]
                listed += some if whole else map(_lean, some)
                size += len(msgspec.json.encode(some if whole else listed[-len(some) :]))
                if whole and size > MAX_TOOLS_BYTES:
                    whole, listed = False, [_lean(tool) for tool in listed]
                    size = len(msgspec.json.encode(listed))
                if len(listed) > MAX_TOOLS or size > MAX_TOOLS_BYTES:
                    raise Sick(f"too large: it lists {len(listed)} tools in {size} bytes")
                if not (cursor := page.next_cursor):
                    break
            else:
                raise Sick(f"too large: its list of tools has more than {MAX_PAGES} pages")
        info = self.client.server_info
        server = f"{info.name} {info.version}".strip() if info else ""
        return Discovery(
            tuple(listed),
            server,
            str(self.client.protocol_version or ""),
            (self.client.instructions or "")[:MOST_INSTRUCTIONS],
            features(self.client.server_capabilities),
        )

    def note(self) -> str:
        """What is to be said of a host that works; empty: nothing."""
        if not self.left_out:
            return ""
        every = "; ".join(f"{name}: {why}" for name, why in self.left_out.items())
        return short(f"bad tools: left out, since they are not as MCP wants them: {every}")

    async def call(self, tool: str, arguments: dict[str, Any], found: Discovery) -> None:
        """Make the declared probe call. Raises Sick if it fails, or answers that it failed."""
        assert self.client is not None
        if tool not in {listed.name for listed in found.tools}:
            raise Sick(f"probe failed: the host lists no tool {tool}. Correct probe.tool.")
        async with self._sick(f"probe failed: {tool}"):
            await self.client.call_tool(tool, arguments)
        answer = self._told_last.take()
        if answer.is_error or _says_error(answer.structured):
            text = short(answer.text())
            if operated(self._host):
                raise Sick(f"probe failed: {tool} answered with an error{MORE}", text)
            raise Sick(f"probe failed: {tool} answered: {text}")

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
            if _is_closed(error):
                self.end()
                # By then all that the process said has been read.
                await self.over.wait()
                how = self.how or "closed the connection"
                raise Sick(f"{what}: it {how}{MORE}", self._said()) from None
            raise self._told_by(what, error) from None

    def _told_by(self, what: str, error: BaseException) -> Sick:
        """A failure in the host's own words, which are for its owner: for users if it is theirs."""
        said = short(str(error) or repr(error))
        if not operated(self._host):
            return Sick(f"{what}: {said}")
        code = f"JSON-RPC error {error.code}" if isinstance(error, MCPError) else ""
        return Sick(f"{what}: {code or type(error).__name__}{MORE}", said)

    def _why(self) -> Sick:
        """Why it has not become a session."""
        match self.failure:
            case None:
                return Sick("not started: it was cut off")
            case TooLate():
                late = f"no answer: nothing within {self._host.limits.start_s:g} s of its start"
                return self._not_started(self._problem(None) or late)
            case failure:
                error = root(failure)
        if isinstance(error, Sick):
            return error
        if known := self._problem(error):
            return Sick(known)
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            return Sick(f"not started: {short(str(error))}")
        if isinstance(error, ConnectionError) or _is_closed(error):
            how = f" (it {self.how})" if self.how else ""
            ended = f"not started: it ended before it answered{how}{MORE}"
            return self._not_started(ended)
        return self._told_by("not started", error)

    def _problem(self, error: BaseException | None) -> str:
        return problem(self.line, self._host, error)

    def _not_started(self, reason: str) -> Sick:
        """With why, in the program's words: for the operator, as one process works for many."""
        endpoint = self._host.endpoint
        if not isinstance(endpoint, Stdio):
            return Sick(reason, self._said())
        said = self.last_words(STARTED_LINES)
        words = start_words(said, endpoint, environment_for(endpoint))
        return Sick(reason, words, at_start=True)

    def _said(self) -> str:
        """The last thing the process wrote on stderr: mostly the reason."""
        return short(self.last_words(1))


def _tool(tool: McpTool) -> Tool:
    hints = tool.annotations or ToolAnnotations()
    icons = tuple(
        icon.model_dump(mode="json", by_alias=True, exclude_unset=True) for icon in tool.icons or ()
    )
    return Tool(
        tool.name,
        tool.description or "",
        _flat(tool.input_schema) or {},
        hints.read_only_hint,
        hints.idempotent_hint,
        tool.title or "",
        hints.destructive_hint,
        hints.open_world_hint,
        hints.title or "",
        _flat(tool.output_schema),
        icons,
        _flat(tool.meta),
        (tool.execution.task_support if tool.execution else None) or "",
    )


def _flat(value: Any) -> dict[str, Any] | None:
    """What is nested beyond all sense is left out: it would stand in the log for ever."""
    return None if value is None or too_deep(msgspec.json.encode(value)) else dict(value)


def _lean(tool: Tool) -> Tool:
    """The tool with what is needed to call it."""
    return msgspec.structs.replace(tool, output_schema=None, icons=(), meta=None)


def _says_error(structured: Any) -> bool:
    """Some servers report a failure as data: `{"status": "error", ...}`, perhaps under `result`."""
    if isinstance(structured, dict) and set(structured) == {"result"}:
        structured = structured["result"]
    return isinstance(structured, dict) and structured.get("status") == "error"


def _is_closed(error: BaseException) -> bool:
    return isinstance(error, MCPError) and not theirs(error) and error.code == CONNECTION_CLOSED
