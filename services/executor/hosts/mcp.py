"""What all MCP servers are to the executor, through the official SDK, however they are reached.

One owner task holds the client of a session; calls are made from other tasks. A session that has
ended is started again by the next call, with backoff.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import mcp_types
import pydantic
from mcp import Client, MCPError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from contracts.facts import FailureKind
from contracts.host import Host
from services.executor.attempt.call import Answer, Call, HostError, Opening, Spooled
from services.executor.hosts import steps
from services.executor.hosts.bulk import Bulk
from services.outside.mcp_child import first
from services.outside.mcp_message import TOO_LARGE
from services.process import telemetry

PROBE_S = 10.0
"""How long the SDK waits for `server/discover` before it falls back to the handshake."""
FIRST_DELAY_S, LAST_DELAY_S = 0.05, 5.0
STABLE_S = 30.0
"""A session that lived this long failed by accident: the backoff begins anew."""
MESSAGE_EXTRA = 64 * 1024
"""Bytes of a message beside the tool's output."""
STOP_S = 5.0
TASK_META = "metamcp/task"
ATTEMPT_META = "metamcp/attempt"

CALLERS = frozenset(
    {mcp_types.INVALID_PARAMS, mcp_types.METHOD_NOT_FOUND, mcp_types.INVALID_REQUEST}
)
"""Codes of JSON-RPC errors for which the caller is to blame."""

log = telemetry.get_logger()


class SessionGone(Exception):
    """The server has forgotten the session and did nothing: a new one is needed."""


class Line(Protocol):
    """The connection of one run: a process with its pipes, or a URL."""

    closed: asyncio.Event
    """Set when the server is gone."""

    def streams(self) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """The SDK's transport: streams of messages from and to the server."""

    def failure(self, error: MCPError) -> HostError | None:
        """What an error means that this kind of connection makes itself; None: it made none.

        Raises SessionGone.
        """

    async def stop(self, *, kindly: bool) -> str:
        """Let go of the server; the answer says how it ended, empty if there is nothing to say."""

    def last_words(self) -> str:
        """What the server said last, outside the protocol."""


Connect = Callable[[Bulk], Awaitable[Line]]
"""Starts or finds the server. Raises OSError with words for people."""


class McpSession:
    """The one session with a host, opened when it is first needed."""

    def __init__(self, opening: Opening, connect: Connect) -> None:
        self._host = opening.host
        self._spool = opening.spool
        limits = opening.host.limits
        longest = limits.max_output_bytes + MESSAGE_EXTRA
        self._bulk = Bulk(opening.spool, longest, limits.max_concurrency)
        self._connect = connect
        self._run: Run | None = None
        self._failures = 0
        self._closed = False

    async def open(self) -> None:
        """See `HostSession.open`."""
        await self._running()

    async def call(self, call: Call) -> dict[str, Any] | Spooled:
        """See `HostSession.call`."""
        return await steps.run(call, self._call_tool, self._spool)

    async def close(self) -> None:
        """See `HostSession.close`."""
        self._closed = True
        if self._run is not None:
            await self._run.stop()
        self._bulk.close()

    async def _call_tool(self, call: Call, tool: str, arguments: dict[str, Any]) -> Answer:
        run = await self._running()
        before = call.called
        await call.begin()
        try:
            try:
                answer = await run.call_tool(call, tool, arguments)
            except SessionGone:
                run = await self._running()
                answer = await run.call_tool(call, tool, arguments)
        except SessionGone as again:
            call.called = before
            message = f"host {self._host.id} forgets every session at once"
            raise HostError(FailureKind.UNREACHABLE, message) from again
        except HostError as error:
            if error.called is False:
                call.called = before
            raise
        call.called = True
        return answer

    async def _running(self) -> Run:
        """The session that runs, started if there is none. Raises HostError(UNREACHABLE)."""
        while (run := self._run) is not None and run.dying:
            await run.over.wait()
            if self._run is run:
                self._run = None
                self._failures = 1 if run.lived_s() > STABLE_S else self._failures + 1
        if self._closed:
            raise HostError(FailureKind.UNREACHABLE, "the session was closed")
        if run is None:
            run = self._run = Run(self._host, self._connect, self._bulk, self._delay_s())
        await run.ready()
        return run

    def _delay_s(self) -> float:
        """Backoff before the next start."""
        if not self._failures:
            return 0.0
        most = min(LAST_DELAY_S, FIRST_DELAY_S * float(2 ** min(self._failures - 1, 10)))
        return most * random.uniform(0.5, 1.0)


class Run:
    """One connection and one client, from start to end."""

    def __init__(self, host: Host, connect: Connect, bulk: Bulk, delay_s: float) -> None:
        self._host = host
        self._connect = connect
        self._bulk = bulk
        self._line: Line | None = None
        self._client: Client | None = None
        self._answered = asyncio.Event()
        self._stop = asyncio.Event()
        self._problem = ""
        self._began = self._ended = time.monotonic()
        self.dying = False
        """No more calls: it is ending, or over."""
        self.over = asyncio.Event()
        self._owner = asyncio.create_task(self._own(delay_s), name=f"host-{host.id}")

    async def ready(self) -> None:
        """Return when the server has answered. Raises HostError(UNREACHABLE)."""
        await self._answered.wait()
        if self._client is None:
            raise HostError(FailureKind.UNREACHABLE, self.epitaph())

    async def stop(self) -> None:
        """End the session and wait until it is gone."""
        self.dying = True
        self._stop.set()
        _, late = await asyncio.wait([self._owner], timeout=STOP_S)
        for task in late:
            # A server that lets us wait for its goodbye; what it was started for is over.
            task.cancel()
            await asyncio.wait([task])

    def lived_s(self) -> float:
        """Seconds from start to end."""
        return self._ended - self._began

    def epitaph(self) -> str:
        """Why it does not run, with the server's last words."""
        said = self._line.last_words() if self._line is not None else ""
        return f"host {self._host.id} {self._problem or 'ended'}" + (f"\n{said}" if said else "")

    async def call_tool(self, call: Call, tool: str, arguments: dict[str, Any]) -> Answer:
        """Make one `tools/call`, exactly one. Raises HostError, SessionGone."""
        assert self._client is not None
        meta: Any = {TASK_META: call.plan.task, ATTEMPT_META: call.plan.attempt}
        try:
            # The session's own method, because the client's would ask again by itself.
            result = await self._client.session.call_tool(
                tool,
                arguments,
                progress_callback=_progress(call),
                meta=meta,
                allow_input_required=True,
            )
        except MCPError as error:
            raise await self._failure(error) from error
        except (RuntimeError, pydantic.ValidationError) as error:
            message = f"the answer of {tool} is not valid: {error}"
            raise HostError(FailureKind.PROTOCOL, message, called=True) from error
        if not isinstance(result, mcp_types.CallToolResult):
            message = f"{tool} asks for more input, which a task can't give"
            raise HostError(FailureKind.PROTOCOL, message, called=True, callers=True)
        return self._bulk.take(result.meta) or _answer(result)

    async def _failure(self, error: MCPError) -> HostError:
        assert self._line is not None
        try:
            known = self._line.failure(error)
        except SessionGone:
            self.dying = True
            self._stop.set()
            raise
        if known is not None:
            return known
        match error.code:
            case mcp_types.CONNECTION_CLOSED:
                self.dying = True
                # By then it is known how the process ended and what it said.
                await self.over.wait()
                message = f"the connection was lost during the call; {self.epitaph()}"
                return HostError(FailureKind.CUT, message, called=None)
            case mcp_types.REQUEST_TIMEOUT:
                return HostError(FailureKind.TIMEOUT, error.message, called=None)
            case code if code == TOO_LARGE:
                return HostError(FailureKind.TOO_LARGE, error.message, called=True)
            case code:
                message = f"JSON-RPC error {code}: {error.message}"
                return HostError(
                    FailureKind.PROTOCOL,
                    message,
                    called=True,
                    transient=isinstance(error.data, dict) and error.data.get("transient") is True,
                    callers=code in CALLERS,
                )

    async def _own(self, delay_s: float) -> None:
        try:
            if not await _set_within(self._stop, delay_s):
                self._began = time.monotonic()
                self._line = await self._connect(self._bulk)
                await self._serve(self._line)
        except OSError as error:
            self._problem = f"can't be started: {error}"
        except Exception as error:
            self._problem = f"failed: {_reason(error)}"
        finally:
            self.dying = True
            if self._line is not None:
                how = await self._line.stop(kindly=not self._problem)
                self._problem = (self._problem or "ended") + (f" (it {how})" if how else "")
            self._ended = time.monotonic()
            self.over.set()
            self._answered.set()
            log.info("host_session_ended", host=self._host.id, reason=self._problem)

    async def _serve(self, line: Line) -> None:
        """Hold the client until the server is gone or somebody says stop."""
        budget = self._host.limits.start_s
        limit = asyncio.timeout(budget)
        try:
            async with limit, Client(line.streams(), mode=_mode(self._host, budget)) as client:
                # Proves that it answers, and lets the SDK know the tools' output schemas.
                await _list_tools(client)
                limit.reschedule(None)
                self._client = client
                self._answered.set()
                log.info("host_session_started", host=self._host.id)
                await first(line.closed, self._stop)
                self.dying = True
        except TimeoutError:
            if not limit.expired():
                raise
            self._problem = f"did not answer within {budget:g} s"


def _answer(result: mcp_types.CallToolResult) -> Answer:
    content = [
        item.model_dump(mode="json", by_alias=True, exclude_unset=True) for item in result.content
    ]
    return Answer(content, result.structured_content, bool(result.is_error))


def _mode(host: Host, budget_s: float) -> Any:
    """Which protocol era to begin with: the one discovery found, else what the budget allows."""
    if host.protocol in MODERN_PROTOCOL_VERSIONS:
        return host.protocol
    if host.protocol in HANDSHAKE_PROTOCOL_VERSIONS or budget_s < PROBE_S * 2:
        return "legacy"
    return "auto"


async def _list_tools(client: Client) -> None:
    try:
        await client.list_tools()
    except MCPError as error:
        if error.code != mcp_types.METHOD_NOT_FOUND:
            raise


def _progress(call: Call) -> Any:
    async def report(progress: float, total: float | None, message: str | None) -> None:
        await call.on_progress(progress, total, message or "")

    return report


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, but no longer than this."""
    if seconds <= 0:
        return event.is_set()
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _reason(error: BaseException) -> str:
    """The innermost error of a group: the one that says something."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        closed = error.code == mcp_types.CONNECTION_CLOSED
        return "it closed the connection before it answered" if closed else error.message
    return f"{type(error).__name__}: {error}"
