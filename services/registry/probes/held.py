"""A session that an executor has with a host, as the line of a session of ours.

So a probe asks and judges in it as it does in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import msgspec
from mcp.shared.message import SessionMessage
from mcp_types import METHOD_NOT_FOUND, JSONRPCRequest

from contracts.errors import Rejected
from contracts.held import SessionAnswer, SessionState
from services.outside.mcp_child import Lines
from services.outside.mcp_message import error
from services.outside.mcp_reading import McpReader
from services.process import telemetry
from services.registry.probes.executors import ExecutorLost
from services.registry.probes.told import LastAnswer

Ask = Callable[[str, msgspec.Raw], Awaitable[SessionAnswer]]
"""Makes a request by method and parameters. Raises ExecutorLost, Rejected."""

_FIRST = {"initialize": False, "server/discover": True}
"""How a session begins, and whether that is the newer era's way."""

log = telemetry.get_logger()


class HeldLine:
    """See `mcp_session.Line`."""

    def __init__(
        self, begun: SessionAnswer, ask: Ask, told: LastAnswer, lost: Callable[[], None], limit: int
    ) -> None:
        """`begun` is what has come of the session; `lost` is called when it is over and nothing can
        be said of the host; `limit`: bytes of one answer."""
        self.gone = asyncio.Event()
        self._begun = begun
        self._ask = ask
        self._lost = lost
        self._last = begun
        self._lines = Lines(limit, McpReader(told))

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncIterator[tuple[Any, Any]]:
        """The SDK's transport: streams of messages from and to the server."""
        to_sdk, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, from_sdk = anyio.create_memory_object_stream[SessionMessage](0)
        carrying = asyncio.create_task(self._carry(from_sdk, to_sdk))
        try:
            yield read, write
        finally:
            carrying.cancel()
            await asyncio.wait([carrying])
            for stream in (read, write, to_sdk, from_sdk):
                stream.close()

    @property
    def fault(self) -> str:
        """That is for the executor to see."""
        return ""

    async def stop(self, *, kindly: bool) -> str:
        """Let go of it: the session is the executor's."""
        return self._last.text

    def last_words(self, count: int = 5) -> str:
        """What the executor has of them."""
        return "\n".join(self._last.said.splitlines()[-count:])

    async def _carry(self, from_sdk: Any, to_sdk: Any) -> None:
        try:
            if self._begun.state is SessionState.OPEN:
                async for message in from_sdk:
                    if isinstance(message.message, JSONRPCRequest):
                        await self._answer(message.message, to_sdk)
                    if self.gone.is_set():
                        break
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        except Exception as error:
            if not isinstance(error, ExecutorLost | Rejected):
                log.exception("held_session_failed")
            self._lost()
        self.gone.set()
        to_sdk.close()

    async def _answer(self, request: JSONRPCRequest, to_sdk: Any) -> None:
        self._lines.sent(request)
        line = await self._answered(request)
        async for message in self._lines.feed(line + b"\n"):
            await to_sdk.send(message)

    async def _answered(self, request: JSONRPCRequest) -> bytes:
        """The answer as it would come over a line; empty: there is none."""
        begun = self._begun
        if request.method in _FIRST:
            if begun.modern is _FIRST[request.method]:
                return _result(request, begun.data)
            return error(request.id, METHOD_NOT_FOUND, "it is of another era")
        params = msgspec.Raw(msgspec.json.encode(request.params or {}))
        answer = await self._ask(request.method, params)
        match answer.state:
            case SessionState.RESULT:
                return _result(request, answer.data)
            case SessionState.ERROR:
                said = {"jsonrpc": "2.0", "id": request.id, "error": answer.data}
                return msgspec.json.encode(said)
            case SessionState.SILENT:
                # Whoever waits has his own limit.
                return b""
            case SessionState.ENDED:
                self._last = answer
            case _:
                self._lost()
        self.gone.set()
        return b""


def _result(request: JSONRPCRequest, data: msgspec.Raw) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request.id, "result": data})
