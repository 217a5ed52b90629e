"""What an agent is not allowed is noted, though its answer is a 200 of HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from mcp import MCPError
from mcp_types import INVALID_PARAMS

from contracts.errors import Rejected
from services.gateway.access.identity import InsufficientScope
from services.gateway.mcp.context import Context
from services.gateway.people.trail import Trail
from services.gateway.refusals import DENIALS, MCP, denial

P = TypeVar("P")
R = TypeVar("R")
Handler = Callable[[Context, P], Awaitable[R]]


def note(trail: Trail, ctx: Context, error: Rejected) -> None:
    """Note a refusal, if it is one of whoever asks and not of what is asked for.

    Raises MCPError for want of a scope: that is no failure of a tool.
    """
    if error.reason in DENIALS and ctx.request is not None:
        missing = getattr(error, "missing", "")
        trail.denied(denial(ctx.request.scope, f"POST {MCP} {ctx.method}", error.reason, missing))
    if isinstance(error, InsufficientScope):
        data = {"reason": error.reason, "scope": error.scope}
        raise MCPError(INVALID_PARAMS, error.message, data)


def noting(trail: Trail, handler: Handler[P, R]) -> Handler[P, R]:
    """The same handler, which notes what it refuses."""

    async def handled(ctx: Context, params: P) -> R:
        try:
            return await handler(ctx, params)
        except Rejected as error:
            note(trail, ctx, error)
            raise

    return handled
