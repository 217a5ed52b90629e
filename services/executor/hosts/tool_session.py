"""One session with an MCP server and the calls in it: made, cut, or left without an answer.

A session that ends unasked is one `Death`, whatever number of calls it takes along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import mcp_types
import pydantic
from mcp import Client, MCPError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from contracts.facts import FailureKind
from contracts.host import Host
from services.executor.attempt.call import Answer, Call, HostError
from services.executor.attempt.course import Death
from services.executor.hosts.bulk import Bulk
from services.outside.mcp_message import TOO_LARGE
from services.outside.mcp_session import Line, McpSession, TooLate, root
from services.process import telemetry

PROBE_S = 10.0
"""How long the SDK waits for `server/discover` before it falls back to the handshake."""
TASK_META = "metamcp/task"
ATTEMPT_META = "metamcp/attempt"

CALLERS = frozenset(
    {mcp_types.INVALID_PARAMS, mcp_types.METHOD_NOT_FOUND, mcp_types.INVALID_REQUEST}
)
"""Codes of JSON-RPC errors for which the caller is to blame."""
ALONE = "; the call was alone in its process"
AMONG = "; another call in the same process may be the cause"

log = telemetry.get_logger()


class SessionGone(Exception):
    """The server has forgotten the session and did nothing: a new one is needed."""


Connect = Callable[[Bulk], Awaitable[Line]]
"""Starts or finds the server, whose big answers the bulk keeps. Raises OSError with words for
people."""
Meaning = Callable[[MCPError], HostError | None]
"""What an error means that this kind of connection makes itself; None: it made none. Raises
SessionGone."""


class Manner(NamedTuple):
    """How sessions of one kind of connection are begun and understood."""

    connect: Connect
    meaning: Meaning
    process: bool
    """Each is a process of ours, which knows what was called in it, and dies as a whole."""


class ToolSession(McpSession):
    """One session with a host, and the calls in it."""

    def __init__(
        self, host: Host, kind: Manner, bulk: Bulk, delay_s: float, *, isolated: bool = False
    ) -> None:
        """`isolated`: one call alone is made in it."""
        self._host = host
        self._bulk = bulk
        self._kind = kind
        self._isolated = isolated
        self._condemned = ""
        self._death: Death | None = None
        self._dismissed = False
        self.used = False
        """A call was made in it."""
        self.doubt: asyncio.Task[None] | None = None
        """It is being asked whether it still answers: no new calls until that is known."""
        super().__init__(
            f"host-{host.id}",
            lambda: kind.connect(bulk),
            host.limits.start_s,
            delay_s=delay_s,
            mode=_mode(host),
        )

    async def dismiss(self) -> None:
        """End it because it is not needed any more: no fault of the host."""
        self._dismissed = True
        await self.stop()

    async def condemn(self, why: str) -> None:
        """End it because it does not answer, and with it the calls in it."""
        if not self.dying:
            self._condemned = why
            log.warning("host_session_condemned", host=self._host.id, reason=why)
            await self.stop()

    async def answers(self, within_s: float) -> bool:
        """Whether the server still answers, whatever else it is doing."""
        if self.client is None or self.dying:
            return False
        try:
            async with asyncio.timeout(within_s):
                # Of both protocol eras; only one of them has a ping.
                await self.client.list_tools(cache_mode="refresh")
        except TimeoutError:
            return False
        except MCPError as error:
            return error.code != mcp_types.CONNECTION_CLOSED
        except (RuntimeError, pydantic.ValidationError):
            pass
        return True

    def death(self) -> Death | None:
        """What its end means for the calls in it; None: it was meant to end, or has not."""
        if not self.dying or self._dismissed or not self._kind.process:
            return None
        if self._death is None:
            how = self.epitaph(ALONE if self._isolated else AMONG)
            self._death = Death(how, shared=not self._isolated)
        return self._death

    async def lost(self, call: Call, what: str) -> HostError:
        """The error of a call that it takes along; waits until it is known how it ended."""
        await self.over.wait()
        call.course.death = death = self.death()
        why = death.how if death is not None else self.epitaph()
        return HostError(FailureKind.CUT, f"{what}; {why}", called=None)

    async def ready(self) -> None:
        """Return when the server has answered. Raises HostError(UNREACHABLE)."""
        await self.settled.wait()
        if self.client is None:
            raise HostError(FailureKind.UNREACHABLE, self.epitaph())

    def epitaph(self, note: str = "") -> str:
        """Why it does not run, a note, and the server's last words."""
        said = self.last_words()
        return f"host {self._host.id} {self._problem()}{note}" + (f"\n{said}" if said else "")

    async def call_tool(self, call: Call, tool: str, arguments: dict[str, Any]) -> Answer:
        """Make one `tools/call`, exactly one. Raises HostError, SessionGone."""
        assert self.client is not None
        self.used = True
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
            raise await self._failed(call, tool, error) from error
        except (RuntimeError, pydantic.ValidationError) as error:
            message = f"the answer of {tool} is not valid: {error}"
            raise HostError(FailureKind.PROTOCOL, message, called=True) from error
        if not isinstance(result, mcp_types.CallToolResult):
            message = f"{tool} asks for more input, which a task can't give"
            raise HostError(FailureKind.PROTOCOL, message, called=True, callers=True)
        return self._bulk.take(result.meta) or _answer(result)

    async def _failed(self, call: Call, tool: str, error: MCPError) -> HostError:
        try:
            known = self._kind.meaning(error)
        except SessionGone:
            self.end()
            raise
        if known is not None:
            return known
        match error.code:
            case mcp_types.CONNECTION_CLOSED:
                self.end()
                return await self.lost(call, f"the connection was lost during {tool}")
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
            case _ if self._condemned:
                text = self._condemned
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
