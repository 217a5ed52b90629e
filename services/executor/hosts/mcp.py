"""What all MCP servers are to the executor, through the official SDK, however they are reached.

A session that has ended is begun again by the next call, with backoff.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types
import pydantic
from mcp import Client, MCPError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from contracts.facts import FailureKind
from contracts.host import Host
from services.executor.attempt.call import Answer, Call, HostError, Opening, Spooled
from services.executor.hosts import steps
from services.executor.hosts.bulk import Bulk
from services.outside.mcp_message import TOO_LARGE
from services.outside.mcp_session import Line, McpSession, TooLate, root
from services.process import telemetry
from services.process.backoff import delay

PROBE_S = 10.0
"""How long the SDK waits for `server/discover` before it falls back to the handshake."""
FIRST_DELAY_S, LAST_DELAY_S = 0.05, 5.0
STABLE_S = 30.0
"""A session that lived this long failed by accident: the backoff begins anew."""
MESSAGE_EXTRA = 64 * 1024
"""Bytes of a message beside the tool's output."""
TASK_META = "metamcp/task"
ATTEMPT_META = "metamcp/attempt"

CALLERS = frozenset(
    {mcp_types.INVALID_PARAMS, mcp_types.METHOD_NOT_FOUND, mcp_types.INVALID_REQUEST}
)
"""Codes of JSON-RPC errors for which the caller is to blame."""

log = telemetry.get_logger()


class SessionGone(Exception):
    """The server has forgotten the session and did nothing: a new one is needed."""


Connect = Callable[[Bulk], Awaitable[Line]]
"""Starts or finds the server, whose big answers the bulk keeps. Raises OSError with words for
people."""
Meaning = Callable[[MCPError], HostError | None]
"""What an error means that this kind of connection makes itself; None: it made none. Raises
SessionGone."""


class McpHostSession:
    """The way to one MCP server: its session, begun when it is first needed."""

    def __init__(self, opening: Opening, connect: Connect, meaning: Meaning) -> None:
        self._host = opening.host
        self._spool = opening.spool
        limits = opening.host.limits
        longest = limits.max_output_bytes + MESSAGE_EXTRA
        self._bulk = Bulk(opening.spool, longest, limits.max_concurrency)
        self._connect = connect
        self._meaning = meaning
        self._session: ToolSession | None = None
        self._failures = 0
        self._closed = False

    async def open(self) -> None:
        """See `HostSession.open`."""
        await self._ready()

    async def call(self, call: Call) -> dict[str, Any] | Spooled:
        """See `HostSession.call`."""
        return await steps.run(call, self._call_tool, self._spool)

    async def close(self) -> None:
        """See `HostSession.close`."""
        self._closed = True
        if self._session is not None:
            await self._session.stop()
        self._bulk.close()

    async def _call_tool(self, call: Call, tool: str, arguments: dict[str, Any]) -> Answer:
        session = await self._ready()
        before = call.called
        await call.begin()
        try:
            try:
                answer = await session.call_tool(call, tool, arguments)
            except SessionGone:
                session = await self._ready()
                answer = await session.call_tool(call, tool, arguments)
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

    async def _ready(self) -> ToolSession:
        """The session that runs, begun if there is none. Raises HostError(UNREACHABLE)."""
        while (session := self._session) is not None and session.dying:
            await session.over.wait()
            if self._session is session:
                self._session = None
                self._failures = 1 if session.lived_s() > STABLE_S else self._failures + 1
        if self._closed:
            raise HostError(FailureKind.UNREACHABLE, "the session was closed")
        if session is None:
            session = self._session = ToolSession(
                self._host, self._connect, self._bulk, self._meaning, self._delay_s()
            )
        await session.ready()
        return session

    def _delay_s(self) -> float:
        """Backoff before the next start."""
        if not self._failures:
            return 0.0
        return delay(self._failures, FIRST_DELAY_S, LAST_DELAY_S, random.random())


class ToolSession(McpSession):
    """One session with a host, and the calls in it."""

    def __init__(
        self, host: Host, connect: Connect, bulk: Bulk, meaning: Meaning, delay_s: float
    ) -> None:
        self._host = host
        self._bulk = bulk
        self._meaning = meaning
        super().__init__(
            f"host-{host.id}",
            lambda: connect(bulk),
            host.limits.start_s,
            delay_s=delay_s,
            mode=_mode(host),
        )

    async def ready(self) -> None:
        """Return when the server has answered. Raises HostError(UNREACHABLE)."""
        await self.settled.wait()
        if self.client is None:
            raise HostError(FailureKind.UNREACHABLE, self.epitaph())

    def epitaph(self) -> str:
        """Why it does not run, with the server's last words."""
        said = self.last_words()
        return f"host {self._host.id} {self._problem()}" + (f"\n{said}" if said else "")

    async def call_tool(self, call: Call, tool: str, arguments: dict[str, Any]) -> Answer:
        """Make one `tools/call`, exactly one. Raises HostError, SessionGone."""
        assert self.client is not None
        meta: Any = {TASK_META: call.plan.task, ATTEMPT_META: call.plan.attempt}
        try:
            # The session's own method, because the client's would ask again by itself.
            result = await self.client.session.call_tool(
                tool,
                arguments,
                progress_callback=_progress(call),
                meta=meta,
                allow_input_required=True,
            )
        except MCPError as error:
            raise await self._failed(error) from error
        except (RuntimeError, pydantic.ValidationError) as error:
            message = f"the answer of {tool} is not valid: {error}"
            raise HostError(FailureKind.PROTOCOL, message, called=True) from error
        if not isinstance(result, mcp_types.CallToolResult):
            message = f"{tool} asks for more input, which a task can't give"
            raise HostError(FailureKind.PROTOCOL, message, called=True, callers=True)
        return self._bulk.take(result.meta) or _answer(result)

    async def _failed(self, error: MCPError) -> HostError:
        try:
            known = self._meaning(error)
        except SessionGone:
            self.end()
            raise
        if known is not None:
            return known
        match error.code:
            case mcp_types.CONNECTION_CLOSED:
                self.end()
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

    async def _greet(self, client: Client) -> None:
        # Proves that it answers, and lets the SDK know the tools' output schemas.
        await _list_tools(client)
        log.info("host_session_started", host=self._host.id)

    def _told(self) -> None:
        log.info("host_session_ended", host=self._host.id, reason=self._problem())

    def _problem(self) -> str:
        """What has become of it, as a part of a sentence."""
        match self.failure:
            case None:
                text = "ended"
            case TooLate():
                text = str(self.failure)
            case OSError():
                text = f"can't be started: {self.failure}"
            case failure:
                text = f"failed: {_reason(failure)}"
        return text + (f" (it {self.how})" if self.how else "")


def _answer(result: mcp_types.CallToolResult) -> Answer:
    content = [
        item.model_dump(mode="json", by_alias=True, exclude_unset=True) for item in result.content
    ]
    return Answer(content, result.structured_content, bool(result.is_error))


def _mode(host: Host) -> Any:
    """Which protocol era to begin with: the one discovery found, else what the budget allows."""
    if host.protocol in MODERN_PROTOCOL_VERSIONS:
        return host.protocol
    if host.protocol in HANDSHAKE_PROTOCOL_VERSIONS or host.limits.start_s < PROBE_S * 2:
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


def _reason(failure: Exception) -> str:
    error = root(failure)
    if isinstance(error, MCPError):
        closed = error.code == mcp_types.CONNECTION_CLOSED
        return "it closed the connection before it answered" if closed else error.message
    return f"{type(error).__name__}: {error}"
