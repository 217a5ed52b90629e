"""One session with an MCP server and the calls in it: made, cut, or left without an answer.

A session that ends unasked is one `Death`, whatever number of calls it takes along.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import mcp_types
import pydantic
from mcp import Client, MCPError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from contracts import rpc_error
from contracts.facts import FailureKind
from contracts.host import Host, operated
from services.executor.attempt.call import Answer, Call, HostError
from services.executor.attempt.course import Death
from services.executor.hosts.asking import Given, converse, page_required, refuse_others
from services.executor.hosts.bulk import Bulk
from services.executor.hosts.changes import listen
from services.executor.hosts.hearing import LEVEL, Hearing
from services.executor.hosts.held import InSession
from services.executor.hosts.known_tools import KnownTools
from services.executor.hosts.news import Subscribed, Told
from services.executor.hosts.reading import asked
from services.outside.mcp_body import DOUBTED, GONE
from services.outside.mcp_errors import data_of, said_by, theirs
from services.outside.mcp_http import DEADLINE
from services.outside.mcp_message import TOO_LARGE
from services.outside.mcp_reading import UNREADABLE
from services.outside.mcp_session import AUTO, HANDSHAKE, Line, McpSession, TooLate, root
from services.process import telemetry

PROBE_S = 10.0
"""How long the SDK waits for `server/discover` before it falls back to the handshake."""
TASK_META = "metamcp/task"
ATTEMPT_META = "metamcp/attempt"

SURE_S = 4.0
"""How long a server may take to show that it still knows a session."""
_SESSION = re.compile(r"session|not initiali[sz]ed", re.IGNORECASE)
"""Words of a server that may have forgotten one."""
ALONE = "; the call was alone in its process"
AMONG = "; another call in the same process may be the cause"

log = telemetry.get_logger()


class SessionGone(Exception):
    """The server has forgotten the session and did nothing: a new one is needed."""


Connect = Callable[[Bulk], Awaitable[Line]]
"""Starts or finds the server, whose big answers the bulk keeps. Raises OSError with words for
people."""
Meaning = Callable[[MCPError], HostError | None]
"""What an error means that this kind of connection makes itself; None: it made none."""


class Manner(NamedTuple):
    """How sessions of one kind of connection are begun and understood."""

    connect: Connect
    meaning: Meaning
    process: bool
    """Each is a process of ours, which knows what was called in it, and dies as a whole."""


class ToolSession(McpSession):
    """One session with a host, and the calls in it."""

    def __init__(
        self,
        host: Host,
        kind: Manner,
        bulk: Bulk,
        delay_s: float,
        *,
        mode: str,
        changed: Callable[[], None],
        told: Told,
        isolated: bool = False,
    ) -> None:
        """`changed` is called when the server says that its tools are others now, `told` with what
        it says of prompts and resources; `isolated`: one call alone is made in it."""
        self._host = host
        self.bulk = bulk
        self._kind = kind
        self._isolated = isolated
        self._condemned = ""
        self._death: Death | None = None
        self.dismissed = False
        """It was ended because it is not needed any more."""
        self._tools = KnownTools(host.id)
        self._changed = changed
        self.subscribed = Subscribed(told)
        self._listening: asyncio.Task[None] | None = None
        self.inside = InSession()
        self._hearing = Hearing()
        self.used = False
        """A call was made in it."""
        self.doubt: asyncio.Task[None] | None = None
        """It is being asked whether it still answers: no new calls until that is known."""
        super().__init__(
            f"host-{host.id}",
            lambda: kind.connect(bulk),
            host.limits.start_s,
            delay_s=delay_s,
            mode=mode,
            message_handler=self._heard,
            elicitation_callback=self.inside.elicited,
            logging_callback=self._hearing.hear,
            log_level=LEVEL,
        )

    async def dismiss(self) -> None:
        """End it because it is not needed any more: no fault of the host."""
        self.dismissed = True
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
            return theirs(error) or error.code != mcp_types.CONNECTION_CLOSED
        except (RuntimeError, pydantic.ValidationError):
            pass
        return True

    async def names(self, within_s: float) -> frozenset[str] | None:
        """The names of its tools as they are now; None: it has not said."""
        assert self.client is not None
        self._tools.names = None
        try:
            async with asyncio.timeout(within_s):
                await self._tools.read(self.client)
        except (TimeoutError, MCPError, RuntimeError):
            return None
        return self._tools.names

    def death(self) -> Death | None:
        """What its end means for the calls in it; None: it was meant to end, or has not."""
        if not self.dying or self.dismissed or not self._kind.process:
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
        again = bool(self.fault) and call.plan.replayable
        kind = FailureKind.PROTOCOL if self.fault else FailureKind.CUT
        return HostError(kind, f"{what}; {why}", called=None, transient=again)

    async def ready(self) -> None:
        """Return when the server has answered. Raises HostError(UNREACHABLE)."""
        await self.settled.wait()
        if self.client is None:
            raise HostError(FailureKind.UNREACHABLE, self.epitaph())

    def epitaph(self, note: str = "") -> str:
        """Why it does not run, and a note. What it wrote once it had started is for the operator:
        one process works for many users."""
        where = ""
        if self._kind.process:
            command = f"`metamcp hosts {self._host.id} --log`"
            where = f"; the operator's log of this host has its last words: {command}"
        return f"host {self._host.id} {self._problem()}{note}{where}"

    async def call_tool(self, call: Call, tool: str, arguments: dict[str, Any]) -> Answer:
        """Call a tool; it may ask before it answers. Raises HostError, SessionGone."""
        self.used = True

        async def ask(given: Given) -> Any:
            return await self._once(call, tool, arguments, given)

        result = await converse(call, tool, ask)
        answer = self.bulk.take(result.meta)
        small = answer.spooled is None and not answer.is_error
        if small and (remark := self._tools.promised(tool, answer.structured)):
            call.course.remark(remark)
        return answer

    async def _once(self, call: Call, tool: str, arguments: dict[str, Any], given: Given) -> Any:
        """Make one `tools/call`, exactly one. Raises HostError, SessionGone."""
        try:
            try:
                return await self._request(call, tool, arguments, given)
            except MCPError as error:
                if not (theirs(error) and error.code == mcp_types.HEADER_MISMATCH):
                    raise
                # Refused before the work: the tool's schema says now what goes into headers.
                assert self.client is not None
                await self._tools.read(self.client)
                return await self._request(call, tool, arguments, given)
        except MCPError as error:
            raise await self._failed(call, tool, await self._sure(error)) from error
        except (RuntimeError, pydantic.ValidationError) as error:
            message = f"the answer of {tool} is not valid: {error}"
            raise HostError(FailureKind.PROTOCOL, message, called=True) from error

    async def read(self, call: Call) -> dict[str, Any]:
        """Make the request that is no tool's call: its `result`, or the `error` that the server has
        answered with. Raises HostError, SessionGone."""
        assert self.client is not None
        assert call.plan.read is not None
        self.used = True
        DEADLINE.set(call.deadline)
        try:
            with self.inside.beside(call.plan.read.method):
                return {"result": await asked(self.client, call.plan.read, self.subscribed)}
        except MCPError as error:
            if theirs(found := await self._sure(error)):
                data = data_of(found)
                return {"error": {"code": found.code, "message": found.message, "data": data}}
            failed = await self._failed(call, call.plan.read.method, found)
            # Nobody but who asks is to blame for what is too long or can't be read.
            failed.callers = failed.called is True
            raise failed from error

    async def _request(self, call: Call, tool: str, arguments: dict[str, Any], given: Given) -> Any:
        assert self.client is not None
        meta: Any = {TASK_META: call.plan.task, ATTEMPT_META: call.plan.attempt}
        DEADLINE.set(call.deadline)
        # The session's own method, because the client's would ask again by itself.
        with self.inside.making(call, tool), self._hearing.during(call):
            return await self.client.session.call_tool(
                tool,
                arguments,
                progress_callback=_progress(call),
                meta=meta,
                input_responses=given.responses,
                request_state=given.state,
                allow_input_required=True,
            )

    async def _sure(self, error: MCPError) -> MCPError:
        """The error of a call, if the session lives. Raises SessionGone.

        Servers say in many ways that they have forgotten a session, and tools have sessions of
        their own: what is asked for once more harms nobody, and does not run twice.
        """
        if theirs(error):
            doubted = not self._kind.process and bool(_SESSION.search(error.message))
        else:
            doubted = error.code in (DOUBTED, GONE)
        if not doubted:
            return error
        if (error.code == GONE and not theirs(error)) or await self._forgotten():
            self.end()
            raise SessionGone(error.message) from error
        return said_by(error)

    async def _forgotten(self) -> bool:
        """Whether the server refuses in this session what it never refuses."""
        assert self.client is not None
        try:
            async with asyncio.timeout(SURE_S):
                await self.client.session.list_tools()
        except MCPError as error:
            if theirs(error):
                return _SESSION.search(error.message) is not None
            return error.code in (DOUBTED, GONE)
        except (TimeoutError, RuntimeError, pydantic.ValidationError):
            pass
        return False

    async def _failed(self, call: Call, tool: str, error: MCPError) -> HostError:
        if theirs(error):
            data = data_of(error)
            if (asks := page_required(call, tool, error.code, data)) is not None:
                return asks
            return HostError(
                FailureKind.PROTOCOL,
                rpc_error.told(error.code, error.message, data),
                called=True,
                transient=isinstance(data, dict) and data.get("transient") is True,
                # Who answers so, answers: the host is as it should be.
                callers=True,
            )
        if not self.fault and (known := self._kind.meaning(error)) is not None:
            return known
        match error.code:
            case code if self.fault or code == mcp_types.CONNECTION_CLOSED:
                self.end()
                return await self.lost(call, f"the connection was lost during {tool}")
            case code if code == TOO_LARGE:
                return HostError(FailureKind.TOO_LARGE, error.message, called=True)
            case code if code == UNREADABLE:
                message = f"host {self._host.id}, {tool}: {error.message}"
                return HostError(FailureKind.PROTOCOL, message, called=True)
            case _:
                return HostError(FailureKind.PROTOCOL, error.message, called=None)

    async def _greet(self, client: Client) -> None:
        # Proves that it answers, and says what the tools' answers are to be.
        await self._tools.read(client)
        refuse_others(client.session)
        self._hearing.begin(client)
        if self._kind.process:
            hear = self.subscribed.hear
            listening = listen(client, self._changed, lambda: self._others(client), hear)
            self._listening = asyncio.create_task(listening)
        log.info("host_session_started", host=self._host.id)

    async def _others(self, client: Client) -> bool:
        """Whether the tools are others than they were."""
        before = self._tools.names
        await self._tools.read(client)
        return self._tools.names != before

    async def _heard(self, message: Any) -> None:
        """Take what the server says unasked."""
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._changed()
        else:
            self.subscribed.hear(message)

    def _told(self) -> None:
        self._hearing.end()
        if self._listening is not None:
            self._listening.cancel()
        self.subscribed.close()
        log.info(
            "host_session_ended",
            host=self._host.id,
            reason=self._problem(),
            failure=str(root(self.failure)) if self.failure is not None else "",
            said=self.last_words() if self.failure is not None or self.how else "",
        )

    def _problem(self) -> str:
        """What has become of it, as a part of a sentence."""
        match self.failure:
            case _ if self._condemned:
                text = self._condemned
            case _ if self.fault:
                text = f"broke the protocol: {self.fault}"
            case None:
                text = "ended"
            case TooLate():
                text = str(self.failure)
            case OSError():
                text = f"can't be started: {self.failure}"
            case failure:
                text = f"failed: {self._reason(failure)}"
        return text + (f" (it {self.how})" if self.how else "")

    def _reason(self, failure: Exception) -> str:
        """Why it failed to start; in its own words only where users brought the host."""
        error = root(failure)
        if not isinstance(error, MCPError):
            words = type(error).__name__
            return words if operated(self._host) else f"{words}: {error}"
        if theirs(error):
            told = f"it answered with JSON-RPC error {error.code}"
            return told if operated(self._host) else f"{told}: {error.message}"
        if error.code == mcp_types.CONNECTION_CLOSED:
            return "it closed the connection before it answered"
        return error.message


def mode_of(host: Host) -> str:
    """Which protocol era to begin with: the one discovery found, else what the budget allows."""
    if host.protocol in MODERN_PROTOCOL_VERSIONS:
        return host.protocol
    if host.protocol in HANDSHAKE_PROTOCOL_VERSIONS or host.limits.start_s < PROBE_S * 2:
        return HANDSHAKE
    return AUTO


def _progress(call: Call) -> Any:
    async def report(progress: float, total: float | None, message: str | None) -> None:
        await call.on_progress(progress, total, message or "")

    return report
