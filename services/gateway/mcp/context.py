"""What a handler of the MCP server knows of the request that it serves."""

from __future__ import annotations

from typing import Any

from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types import HEADER_MISMATCH
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from contracts.permitted import Asker
from services.gateway.access.identity import Principal
from services.gateway.mcp.selection import ToolChoice
from services.gateway.mcp.tasks import TASKS

GONE = "gone"
"""In a request's state, once its client has gone away."""

Context = ServerRequestContext[Any, Any]
CHOSEN = "chosen"
"""In a request's state: says what its address is about, as that is now."""


def principal(ctx: Context) -> Principal:
    """Who asks."""
    assert ctx.request is not None
    found: Principal = ctx.request.scope["state"]["principal"]
    return found


def chosen(ctx: Context) -> ToolChoice:
    """What the address of the request is about."""
    assert ctx.request is not None
    found: ToolChoice = ctx.request.scope["state"][CHOSEN]()
    return found


def asker(who: Principal) -> Asker:
    """Who asks, as hosts know them.

    What is for a project alone needs a task that belongs to it, which a call does not say.
    """
    return Asker(who.user, who.powers)


def base(ctx: Context) -> str:
    """The address of this gateway, as the client knows it."""
    assert ctx.request is not None
    return str(ctx.request.base_url).rstrip("/")


def is_gone(ctx: Context) -> bool:
    """Whether the client has closed the connection that the answer belongs on.

    From 2026-07-28 on that ends the request; before, it goes on without anybody who hears of it.
    """
    return ctx.request is not None and GONE in ctx.request.scope["state"]


def is_modern(ctx: Context) -> bool:
    """Whether the request stands for itself, as from 2026-07-28 on."""
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def declares_tasks(ctx: Context) -> bool:
    """Whether the client takes handles of tasks."""
    # Handles are of 2026-07-28. Some clients declare the extension in older sessions as well.
    if not is_modern(ctx):
        return False
    capabilities = ctx.session.client_capabilities
    return TASKS in ((capabilities and capabilities.extensions) or {})


def check_names_task(ctx: Context, task: str) -> None:
    """Refuse a request about a task of a client that does not know of tasks, or whose header names
    another one. Raises MCPError."""
    require_client_extension(ctx, TASKS)
    assert ctx.request is not None
    named = ctx.request.headers.get(MCP_NAME_HEADER)
    if is_modern(ctx) and named is not None and decode_header_value(named) != task:
        text = f"{MCP_NAME_HEADER} header does not match the request body's 'taskId' parameter"
        raise MCPError(HEADER_MISMATCH, text)
