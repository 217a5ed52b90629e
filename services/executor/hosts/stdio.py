"""MCP servers over stdio: a child process for each session."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from mcp import MCPError

from contracts.host import Stdio
from services.executor.attempt.call import HostError, Opening
from services.executor.hosts.bulk import Bulk
from services.executor.hosts.mcp import MESSAGE_EXTRA, McpSession
from services.outside.mcp_child import STOP_S, McpChild, Tail


class StdioSession(McpSession):
    """The one process of a host."""

    def __init__(self, opening: Opening) -> None:
        """The opening's endpoint must be a `Stdio`."""
        endpoint = opening.host.endpoint
        assert isinstance(endpoint, Stdio)
        tail = Tail(opening.folder / f"{opening.host.id}.log")
        longest = opening.host.limits.max_output_bytes + MESSAGE_EXTRA

        async def connect(bulk: Bulk) -> StdioLine:
            return StdioLine(await McpChild.start(endpoint, tail, longest, bulk), tail)

        super().__init__(opening, connect)


class StdioLine:
    """One process; see `mcp.Line`."""

    def __init__(self, child: McpChild, tail: Tail) -> None:
        self._child = child
        self._tail = tail
        self.closed = child.exited

    def streams(self) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """Return the process's pipes."""
        return self._child.streams()

    def failure(self, error: MCPError) -> HostError | None:
        """A process makes no errors of its own."""
        return None

    async def stop(self, *, kindly: bool) -> str:
        """End the process and its group."""
        how = self._child.ended()
        await self._child.stop(STOP_S if kindly else 0.0)
        return how or self._child.ended()

    def last_words(self) -> str:
        """Return the last lines of its stderr."""
        return self._tail.lines()
