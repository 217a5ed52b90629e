"""MCP servers over streamable HTTP, of both protocol eras; `hf://owner/space` is a Gradio Space."""

from __future__ import annotations

from functools import partial

import mcp_types
from mcp import MCPError

from contracts.facts import FailureKind
from contracts.host import Host, StreamableHttp, operated
from services.executor.attempt.call import HostError, Opening
from services.executor.hosts.bulk import Bulk
from services.executor.hosts.mcp import MESSAGE_EXTRA, McpHostSession
from services.executor.hosts.tool_session import Manner
from services.outside import addresses
from services.outside.mcp_body import DOUBTED, LOST, NOT_SENT, STATUS
from services.outside.mcp_http import Web
from services.outside.mcp_reading import McpReader


class HttpSession(McpHostSession):
    """The one MCP session with a URL, for one credential."""

    def __init__(self, opening: Opening) -> None:
        """The opening's endpoint must be a `StreamableHttp`."""
        host, endpoint = opening.host, opening.host.endpoint
        assert isinstance(endpoint, StreamableHttp)

        async def connect(bulk: Bulk) -> Web:
            return Web(
                endpoint,
                spaces=opening.spaces,
                public_only=addresses.kept_public(host, allow_private=opening.allow_private),
                bearer=opening.bearer,
                limit=host.limits.max_output_bytes + MESSAGE_EXTRA,
                patience_s=host.limits.start_s,
                reader=McpReader(bulk, bulk),
                discreet=operated(host),
            )

        super().__init__(opening, Manner(connect, partial(meaning, host), process=False))


def meaning(host: Host, error: MCPError) -> HostError | None:
    """What an error of ours means: one request that fails is no news about the others."""
    message = f"host {host.id}: {error.message}"
    match error.code:
        case code if code == NOT_SENT:
            return HostError(FailureKind.UNREACHABLE, message)
        case code if code in (STATUS, DOUBTED) and not _at_server(error.message):
            return HostError(FailureKind.UNREACHABLE, f"{message}; nothing was done")
        case code if code in (STATUS, LOST, mcp_types.CONNECTION_CLOSED):
            return HostError(FailureKind.CUT, message, called=None)
        case _:
            return None


def _at_server(status: str) -> bool:
    """Whether a refusal may come from behind the call: 500, 502, 504 and the like.

    Every other status is given before the work begins.
    """
    return status.startswith("5") and not status.startswith("503")
