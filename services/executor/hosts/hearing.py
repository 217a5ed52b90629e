"""Whose a host's log messages are. One that may be another user's is passed on to nobody.

What comes on the stream of a call's own answer is that call's. Elsewhere nothing says whose it is:
then it is the only call's that is under way, as long as one user alone has called in the session.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import mcp_types
import pydantic
from mcp import Client, MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from contracts.said import LogLevel
from services.executor.attempt.call import Call
from services.executor.attempt.said import shortened

LEVEL: LogLevel = "info"
"""What hosts are asked for: who listens, and to what, is not known here."""
ANSWER_S = 10.0
"""How long a server may take to say that it has understood."""
_CALLING: ContextVar[Call] = ContextVar("_CALLING")
"""The SDK hands the context of a request on to what comes on the stream of its answer."""


class Hearing:
    """Hears the log messages of one session."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._user: str | None = None
        self._shared = False
        self._asking: asyncio.Task[None] | None = None

    def begin(self, client: Client) -> None:
        """Ask a server of the older era for its messages; those of the newer are asked with each
        request."""
        capabilities = client.server_capabilities
        if client.protocol_version in MODERN_PROTOCOL_VERSIONS or not capabilities.logging:
            return
        self._asking = asyncio.create_task(_ask(client))

    def end(self) -> None:
        """Nothing more is heard."""
        if self._asking is not None:
            self._asking.cancel()

    @contextlib.contextmanager
    def during(self, call: Call) -> Iterator[None]:
        """A request of this call is under way."""
        user = call.plan.user
        self._shared = self._shared or self._user not in (None, user)
        self._user = user
        self._calls.add(call)
        # Taken back, so that no session which is begun later takes its own for this call's.
        token = _CALLING.set(call)
        try:
            yield
        finally:
            _CALLING.reset(token)
            self._calls.discard(call)

    async def hear(self, message: mcp_types.LoggingMessageNotificationParams) -> None:
        """Pass a message on to whose it is."""
        call = _CALLING.get(None) or self._sole()
        if call is not None and call in self._calls:
            await call.on_said(shortened(message.level, message.data, message.logger))

    def _sole(self) -> Call | None:
        if self._shared or len(self._calls) != 1:
            return None
        return next(iter(self._calls))


async def _ask(client: Client) -> None:
    request = mcp_types.SetLevelRequest(params=mcp_types.SetLevelRequestParams(level=LEVEL))
    with contextlib.suppress(MCPError, RuntimeError, TimeoutError, pydantic.ValidationError):
        async with asyncio.timeout(ANSWER_S):
            await client.session.send_request(request, mcp_types.EmptyResult)
