"""MCP servers over stdio, through the official SDK.

One owner task holds the client of a session; calls are made from other tasks. A session that has
ended is started again by the next call, with backoff.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import mcp_types
import pydantic
from mcp import Client, MCPError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from contracts.facts import FailureKind
from contracts.host import Host, Stdio
from services import telemetry
from services.executor.hosts import steps
from services.executor.hosts.base import Answer, Call, HostError, Opening
from services.mcp_child import STOP_S, TOO_LARGE, Child, Tail, first

PROBE_S = 10.0
"""How long the SDK waits for `server/discover` before it falls back to the handshake."""
FIRST_DELAY_S, LAST_DELAY_S = 0.05, 5.0
STABLE_S = 30.0
"""A session that lived this long failed by accident: the backoff begins anew."""
LINE_EXTRA = 64 * 1024
TASK_META = "metamcp/task"
ATTEMPT_META = "metamcp/attempt"

log = telemetry.get_logger()


class StdioSession:
    """The one process of a host, started when it is first needed."""

    def __init__(self, opening: Opening) -> None:
        """The opening's endpoint must be a `Stdio`."""
        self._host = opening.host
        self._tail = Tail(opening.folder / f"{opening.host.id}.log")
        self._run: _Run | None = None
        self._failures = 0
        self._closed = False

    async def open(self) -> None:
        """See `HostSession.open`."""
        await self._running()

    async def call(self, call: Call) -> dict[str, Any]:
        """See `HostSession.call`."""
        return await steps.run(call, self._call_tool)

    async def close(self) -> None:
        """See `HostSession.close`."""
        self._closed = True
        if self._run is not None:
            await self._run.stop()

    async def _call_tool(self, call: Call, tool: str, arguments: dict[str, Any]) -> Answer:
        run = await self._running()
        await call.begin()
        answer = await run.call_tool(call, tool, arguments)
        call.called = True
        return answer

    async def _running(self) -> _Run:
        """The session that runs, started if there is none. Raises HostError(UNREACHABLE)."""
        while (run := self._run) is not None and run.dying:
            await run.over.wait()
            if self._run is run:
                self._run = None
                self._failures = 1 if run.lived_s() > STABLE_S else self._failures + 1
        if self._closed:
            raise HostError(FailureKind.UNREACHABLE, "the session was closed")
        if run is None:
            run = self._run = _Run(self._host, self._tail, self._delay_s())
        await run.ready()
        return run

    def _delay_s(self) -> float:
        """Backoff before the next start."""
        if not self._failures:
            return 0.0
        most = min(LAST_DELAY_S, FIRST_DELAY_S * float(2 ** min(self._failures - 1, 10)))
        return most * random.uniform(0.5, 1.0)


class _Run:
    """One process and one client, from start to end."""

    def __init__(self, host: Host, tail: Tail, delay_s: float) -> None:
        self._host = host
        self._tail = tail
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
        """End the process and wait until it is gone."""
        self.dying = True
        self._stop.set()
        await asyncio.wait([self._owner])

    def lived_s(self) -> float:
        """Seconds from start to end."""
        return self._ended - self._began

    def epitaph(self) -> str:
        """Why it does not run, with the server's last words."""
        said = self._tail.lines()
        return f"host {self._host.id} {self._problem or 'ended'}" + (f"\n{said}" if said else "")

    async def call_tool(self, call: Call, tool: str, arguments: dict[str, Any]) -> Answer:
        """Make one `tools/call`, exactly one. Raises HostError."""
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
            raise HostError(FailureKind.PROTOCOL, message, called=True)
        return _answer(result)

    async def _failure(self, error: MCPError) -> HostError:
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
                transient = isinstance(error.data, dict) and error.data.get("transient") is True
                return HostError(FailureKind.PROTOCOL, message, called=True, transient=transient)

    async def _own(self, delay_s: float) -> None:
        child: Child | None = None
        try:
            if not await _set_within(self._stop, delay_s):
                child = await self._start()
                await self._serve(child)
        except OSError as error:
            self._problem = f"can't be started: {error}"
        except Exception as error:
            self._problem = f"failed: {_reason(error)}"
        finally:
            self.dying = True
            if child is not None:
                how = child.ended()
                await child.stop(0.0 if self._problem else STOP_S)
                self._problem = f"{self._problem or 'ended'} (it {how or child.ended()})"
            self._ended = time.monotonic()
            self.over.set()
            self._answered.set()
            log.info("host_session_ended", host=self._host.id, reason=self._problem)

    async def _start(self) -> Child:
        endpoint = self._host.endpoint
        assert isinstance(endpoint, Stdio)
        self._began = time.monotonic()
        return await Child.start(
            endpoint, self._tail, self._host.limits.max_output_bytes + LINE_EXTRA
        )

    async def _serve(self, child: Child) -> None:
        """Hold the client until the process ends or somebody says stop."""
        budget = self._host.limits.start_s
        limit = asyncio.timeout(budget)
        try:
            async with limit, Client(child.streams(), mode=_mode(self._host, budget)) as client:
                # Proves that it answers, and lets the SDK know the tools' output schemas.
                await _list_tools(client)
                limit.reschedule(None)
                self._client = client
                self._answered.set()
                log.info("host_session_started", host=self._host.id, pid=child.pid)
                await first(child.exited, self._stop)
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
    if isinstance(error, MCPError) and error.code == mcp_types.CONNECTION_CLOSED:
        return "it closed the connection before it answered"
    return f"{type(error).__name__}: {error}"
