"""MCP servers over streamable HTTP, of both protocol eras; `hf://owner/space` is a Gradio Space."""

from __future__ import annotations

from functools import partial
from typing import Literal

import mcp_types
from mcp import MCPError

from contracts.facts import FailureKind
from contracts.host import Host, StreamableHttp, operated
from services.executor.attempt.call import HostError, Opening
from services.executor.hosts.bulk import Bulk
from services.executor.hosts.mcp import MESSAGE_EXTRA, McpHostSession
from services.executor.hosts.tool_session import Manner
from services.keys.hosttokens import advised, signs_in
from services.outside import addresses
from services.outside.mcp_body import DOUBTED, LOST, NOT_SENT, STATUS
from services.outside.mcp_exchange import LACKING
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
        case code if code in (STATUS, DOUBTED) and signs_in(host) and _asks(error.message):
            scope = LACKING.search(error.message)
            if scope is not None:
                return _sign_in(advised(host.id, scope[1]), "scope")
            status = error.message.partition(":")[0]
            return _sign_in(advised(host.id, status=status), "token")
        case code if code in (STATUS, DOUBTED) and not _at_server(error.message):
            return HostError(FailureKind.UNREACHABLE, f"{message}; nothing was done")
        case code if code in (STATUS, LOST, mcp_types.CONNECTION_CLOSED):
            return HostError(FailureKind.CUT, message, called=None)
        case _:
            return None


def _asks(status: str) -> bool:
    """Whether it refuses whoever has not signed in, or not for this."""
    return status.startswith("401") or LACKING.match(status) is not None


def _sign_in(message: str, what: Literal["token", "scope"]) -> HostError:
    return HostError(FailureKind.UNREACHABLE, message, sign_in=what)


def _at_server(status: str) -> bool:
    """Whether a refusal may come from behind the call: 500, 502, 504 and the like.

    Every other status is given before the work begins.
    """
    return status.startswith("5") and not status.startswith("503")
