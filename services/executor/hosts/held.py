"""The calls in one session, and what its server asks while it holds them open.

A question is put to whoever's call it is, or to nobody: users' calls may share a session.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, ElicitResult, ErrorData

from contracts.asks import AnswerAction
from services.executor.attempt.call import Call, HostError
from services.executor.attempt.inquiry import NobodyAsked
from services.executor.hosts.asking import BadQuestion, one, reply_to, said

_MADE: ContextVar[Call | None] = ContextVar("_MADE", default=None)
"""The call in whose HTTP exchange something was said."""
UNKNOWN_CALL = (
    "nobody is asked: it is not known which call this is about. Ask within the exchange of the call"
    " (its stream over HTTP), or while it is the only one in the session"
)
UNHEARD = "the host did not wait for the answer to what it asked"


class InSession:
    """The calls that are in a session now."""

    def __init__(self) -> None:
        self._tools: dict[Call, str] = {}
        self._asking: dict[Call, set[asyncio.Task[Any]]] = {}
        self._left: set[str] = set()
        """Users of whom a call was given up here: its server may be at it still, and ask."""
        self._beside = 0
        """Other requests under way, about which a server may ask as well."""

    @contextlib.contextmanager
    def making(self, call: Call, tool: str) -> Iterator[None]:
        """Around a request; when it ends, nobody waits for what it has asked."""
        token = _MADE.set(call)
        self._tools[call] = tool
        try:
            yield
        except asyncio.CancelledError:
            self._left.add(call.plan.user)
            raise
        finally:
            _MADE.reset(token)
            del self._tools[call]
            for asking in self._asking.pop(call, ()):
                call.unheard = True
                asking.cancel()

    @contextlib.contextmanager
    def beside(self, method: str) -> Iterator[None]:
        """Around a request that is nobody's call: what is asked meanwhile may be about that, but
        for lists, over which no server asks anybody."""
        asks = not method.endswith("/list")
        self._beside += asks
        try:
            yield
        finally:
            self._beside -= asks

    async def elicited(self, _: Any, params: Any) -> ElicitResult | ErrorData:
        """Answer what the server asks: `elicitation/create` of the older era."""
        call = self._whose()
        if call is None:
            return ErrorData(code=INVALID_REQUEST, message=UNKNOWN_CALL)
        tool, reply = self._tools[call], call.reply
        try:
            asked = one(tool, params, call.made)
        except BadQuestion as bad:
            return ErrorData(code=INVALID_PARAMS, message=f"this can't be asked: {bad}")
        if reply is not None and call.follows(reply.asked, tool) and asked.same(reply.asked):
            # Answered already, in an attempt that did not live to hear it.
            call.reply = None
            return reply_to(reply)
        asking = asyncio.ensure_future(call.ask(asked))
        self._asking.setdefault(call, set()).add(asking)
        try:
            await asyncio.wait([asking])
        except asyncio.CancelledError:
            call.unheard = True
            asking.cancel()
            raise
        finally:
            self._asking.get(call, set()).discard(asking)
        if asking.cancelled():
            return ErrorData(code=INVALID_REQUEST, message="the call is over")
        try:
            action, content = asking.result()
            accepted = action is AnswerAction.ACCEPT and not asked.url
            return said(action, content if accepted else None)
        except (NobodyAsked, HostError) as error:
            return ErrorData(code=INTERNAL_ERROR, message=getattr(error, "message", str(error)))

    def _whose(self) -> Call | None:
        """Whose call the server asks for; None: that is not known."""
        call = _MADE.get()
        if call is not None:
            return call if call in self._tools else None
        if len(self._tools) != 1 or self._beside:
            return None
        (call,) = self._tools
        return call if self._left <= {call.plan.user} else None
