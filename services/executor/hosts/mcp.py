"""What all MCP servers are to the executor, through the official SDK, however they are reached.

A session that has ended is begun again by the next call, with backoff. One that is silent when a
call has waited in vain is ended: a single call must not hold up the others in it.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mcp import MCPError

from contracts.facts import FailureKind
from contracts.reads import ReadsChanged
from services.executor.attempt.call import Answer, Call, HostError, Opening, Spooled
from services.executor.attempt.plan import BadInput
from services.executor.hosts import steps
from services.executor.hosts.bulk import Bulk
from services.executor.hosts.held import UNHEARD
from services.executor.hosts.news import HostNews
from services.executor.hosts.tool_session import Manner, SessionGone, ToolSession, mode_of
from services.outside.mcp_session import TooLate, root
from services.process.backoff import delay

FIRST_DELAY_S, LAST_DELAY_S = 0.05, 5.0
STABLE_S = 30.0
"""A session that lived this long failed by accident: the backoff begins anew."""
MESSAGE_EXTRA = 64 * 1024
"""Bytes of a message beside the tool's output."""
ANSWER_S = 4.0
"""How long a server may be silent after a call in it has come to its limit."""
HONOUR_S = 15.0
"""The same after a call was cancelled: others may be at work in it, whose time is not over."""
EARLY_S = 0.05
"""A loop's timer may ring a little before its time."""

A = TypeVar("A")


class McpHostSession:
    """The way to one MCP server: its session, begun when it is first needed."""

    def __init__(self, opening: Opening, kind: Manner) -> None:
        self._host = opening.host
        self._spool = opening.spool
        self._isolated = opening.isolated
        self._changed = functools.partial(opening.changed, opening.host.id)
        self._opening = opening
        limits = opening.host.limits
        longest = limits.max_output_bytes + MESSAGE_EXTRA
        self._bulk = Bulk(opening.spool, longest, limits.max_concurrency)
        self._kind = kind
        self._session: ToolSession | None = None
        self._aboard: dict[Call, ToolSession] = {}
        """The session in which each call has been made so far."""
        self._checks: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._mode = mode_of(opening.host)
        self._closed = False

    async def open(self) -> None:
        """See `HostSession.open`."""
        await self._ready(await self._current())

    async def current(self) -> ToolSession:
        """The session that runs or starts, as a call would find it. Raises HostError."""
        return await self._current()

    async def call(self, call: Call) -> dict[str, Any] | Spooled:
        """See `HostSession.call`."""
        try:
            if call.plan.unlisted:
                await self._look_up(call)
            if call.plan.read is not None:
                return await self._made(call, lambda session: session.read(call))
            return await steps.run(call, self._call_tool, self._spool)
        except HostError as error:
            if call.unheard:
                error.message = f"{error.message} ({UNHEARD})"
            raise
        except asyncio.CancelledError:
            session = self._aboard.get(call)
            if session is not None and call.called is None and self._kind.process:
                await self._doubt(session, call)
            raise
        finally:
            self._aboard.pop(call, None)

    async def close(self) -> None:
        """See `HostSession.close`."""
        self._closed = True
        for check in self._checks:
            check.cancel()
        if self._session is not None:
            await self._session.dismiss()
        self._bulk.close()

    async def _look_up(self, call: Call) -> None:
        """See whether the session of this call has the tools that its host is not known to have.

        Raises BadInput, HostError. A session that does not say is called: it will say then.
        """
        names = await (await self._carrier(call)).names(ANSWER_S)
        for tool, refusal in call.plan.unlisted:
            if names is not None and tool not in names:
                raise BadInput(refusal)
        self._changed()

    async def _call_tool(self, call: Call, tool: str, arguments: dict[str, Any]) -> Answer:
        return await self._made(call, lambda session: session.call_tool(call, tool, arguments))

    async def _made(self, call: Call, request: Callable[[ToolSession], Awaitable[A]]) -> A:
        """Make one request of a call in its session, once more where that was forgotten."""
        session = await self._carrier(call)
        before = call.called
        await call.begin()
        try:
            try:
                answer = await request(session)
            except SessionGone:
                session = await self._carrier(call)
                answer = await request(session)
        except SessionGone as again:
            call.called = before
            message = f"host {self._host.id} forgets every session at once: {again}"
            raise HostError(FailureKind.UNREACHABLE, message) from again
        except HostError as error:
            if error.called is False:
                call.called = before
            raise
        call.called = True
        return answer

    async def _carrier(self, call: Call) -> ToolSession:
        """The session for this call's next step. Raises HostError(UNREACHABLE).

        Raises HostError(CUT) if the process of its first steps is gone, and what it knew with it.
        """
        known = self._aboard.get(call)
        if known is not None and self._kind.process:
            if known.doubt is not None:
                await asyncio.wait([known.doubt])
            if known.dying:
                raise await known.lost(call, "the process in which the call began is over")
            return known
        session = await self._started()
        while call.careful and session.used and not await session.answers(ANSWER_S):
            await session.condemn(f"did not answer within {ANSWER_S:g} s before a call")
            session = await self._started()
        self._aboard[call] = session
        return session

    async def _started(self) -> ToolSession:
        """The session that runs, begun if there is none. Raises HostError(UNREACHABLE)."""
        session = await self._current()
        try:
            await self._ready(session)
        except HostError:
            # What kept it from starting may be what the last call has left behind.
            if not self._isolated or isinstance(session.failure, OSError | TooLate):
                raise
            session = await self._current()
            await self._ready(session)
        return session

    async def _ready(self, session: ToolSession) -> None:
        """See `ToolSession.ready`; one that refuses us may want its user to sign in."""
        try:
            await session.ready()
        except HostError as error:
            why = root(session.failure) if session.failure is not None else None
            known = self._kind.meaning(why) if isinstance(why, MCPError) else None
            if known is not None and known.sign_in:
                raise known from error
            raise

    async def _current(self) -> ToolSession:
        """The session that runs or starts."""
        while (session := self._session) is not None and (session.dying or session.doubt):
            if session.doubt is not None:
                await asyncio.wait([session.doubt])
                continue
            await session.over.wait()
            if self._session is session:
                self._session = None
                self._mode = session.next_mode
                self._failures = 1 if session.lived_s() > STABLE_S else self._failures + 1
        if self._closed:
            raise HostError(FailureKind.UNREACHABLE, "the session was closed")
        if session is None:
            session = self._session = ToolSession(
                self._host,
                self._kind,
                self._bulk,
                self._delay_s(),
                mode=self._mode,
                changed=self._changed,
                told=self._told,
                isolated=self._isolated,
            )
        return session

    def _told(self, news: HostNews) -> None:
        host, whose = self._host.id, self._opening.user()
        self._opening.news(ReadsChanged(host, news.what, whose, news.uri))

    async def _doubt(self, session: ToolSession, call: Call) -> None:
        """A call was given up without an answer: have the session show that it lives, or end it.

        After a call's own limit this waits for that, so that the call's end can say it.
        """
        if time.monotonic() < call.deadline - EARLY_S:
            self._check(session, HONOUR_S, "a call was cancelled")
            return
        if session.doubt is None:
            session.doubt = self._check(session, ANSWER_S, "a call had come to its limit")
        await asyncio.wait([session.doubt])
        call.course.death = session.death()

    def _check(self, session: ToolSession, within_s: float, after: str) -> asyncio.Task[None]:
        async def check() -> None:
            try:
                if not await session.answers(within_s):
                    await session.condemn(
                        f"did not answer for {within_s:g} s after {after}, and was ended"
                    )
            finally:
                if session.doubt is asyncio.current_task():
                    session.doubt = None

        task = asyncio.create_task(check())
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)
        return task

    def _delay_s(self) -> float:
        """Backoff before the next start."""
        if not self._failures:
            return 0.0
        return delay(self._failures, FIRST_DELAY_S, LAST_DELAY_S, random.random())
