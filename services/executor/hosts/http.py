"""MCP servers over streamable HTTP, of both protocol eras; `hf://owner/space` is a Gradio Space."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import mcp_types
from mcp import MCPError

from contracts.facts import FailureKind
from contracts.host import StreamableHttp, operated
from services.executor.attempt.call import HostError, Opening
from services.executor.hosts.bulk import Bulk
from services.executor.hosts.mcp import MESSAGE_EXTRA, McpSession, SessionGone
from services.outside import addresses
from services.outside.mcp_http import GONE, LOST, NOT_SENT, STATUS, Web


class HttpSession(McpSession):
    """The one MCP session with a URL, for one credential."""

    def __init__(self, opening: Opening) -> None:
        """The opening's endpoint must be a `StreamableHttp`."""

        async def connect(bulk: Bulk) -> HttpLine:
            return HttpLine(opening, bulk)

        super().__init__(opening, connect)


class HttpLine:
    """One MCP session over HTTP; see `mcp.Line`."""

    def __init__(self, opening: Opening, bulk: Bulk) -> None:
        """Raises OSError for an address that may not be called."""
        host, endpoint = opening.host, opening.host.endpoint
        assert isinstance(endpoint, StreamableHttp)
        guarded = not operated(host) and not opening.allow_private
        headers = dict(endpoint.headers)
        if opening.bearer is not None:
            headers["authorization"] = f"Bearer {opening.bearer}"
        self._name = f"host {host.id}"
        self._web = Web(
            addresses.resolve(endpoint.url, spaces=opening.spaces, mcp=True),
            headers,
            addresses.transport(guarded=guarded),
            limit=host.limits.max_output_bytes + MESSAGE_EXTRA,
            patience_s=host.limits.start_s,
            big=bulk,
        )
        self.closed = asyncio.Event()
        """Never set: whether a URL still answers shows only when it is asked."""

    def streams(self) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """Return the SDK's streams over HTTP."""
        return self._web.streams()

    def failure(self, error: MCPError) -> HostError | None:
        """One request that fails is no news about the others."""
        message = f"{self._name}: {error.message}"
        match error.code:
            case code if code == GONE:
                raise SessionGone
            case code if code == NOT_SENT:
                return HostError(FailureKind.UNREACHABLE, message)
            case code if code == STATUS and not _at_server(error.message):
                return HostError(FailureKind.UNREACHABLE, message)
            case code if code in (STATUS, LOST, mcp_types.CONNECTION_CLOSED):
                return HostError(FailureKind.CUT, message, called=None)
            case _:
                return None

    async def stop(self, *, kindly: bool) -> str:
        """Nothing is left to be done: the client has closed its connections."""
        return ""

    def last_words(self) -> str:
        """A URL says nothing beside its answers."""
        return ""


def _at_server(status: str) -> bool:
    """Whether a refusal may come from behind the call: 500, 502, 504 and the like.

    Every other status is given before the work begins.
    """
    return status.startswith("5") and not status.startswith("503")
