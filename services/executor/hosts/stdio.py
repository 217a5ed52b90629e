"""MCP servers over stdio: a child process for each session."""

from __future__ import annotations

from mcp import MCPError

from contracts.host import Stdio
from services.executor.attempt.call import HostError, Opening
from services.executor.hosts.bulk import Bulk
from services.executor.hosts.mcp import MESSAGE_EXTRA, McpHostSession
from services.executor.hosts.tool_session import Manner
from services.outside.mcp_child import McpChild, Tail, log_path
from services.outside.mcp_reading import McpReader


class StdioSession(McpHostSession):
    """The one process of a host."""

    def __init__(self, opening: Opening) -> None:
        """The opening's endpoint must be a `Stdio`."""
        endpoint = opening.host.endpoint
        assert isinstance(endpoint, Stdio)
        tail = Tail(log_path(opening.folder, opening.host.id))
        tail.hide = opening.hide
        longest = opening.host.limits.max_output_bytes + MESSAGE_EXTRA

        async def connect(bulk: Bulk) -> McpChild:
            return await McpChild.start(endpoint, tail, longest, McpReader(bulk, bulk))

        super().__init__(opening, Manner(connect, _no_meaning, process=True))


def _no_meaning(_: MCPError) -> HostError | None:
    """A process makes no errors of its own."""
    return None
