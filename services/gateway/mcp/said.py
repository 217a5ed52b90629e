"""Log messages of hosts at `/mcp`: who wants which, and how they are told.

Nobody gets any without having said from which level on: in the older era with `logging/setLevel`
for a session, in the newer with each request.
"""

from __future__ import annotations

import mcp_types
import msgspec
from mcp_types import LOG_LEVEL_META_KEY

from contracts.said import LOG_LEVELS, LogLevel, LogMessage
from services.gateway.mcp.context import Context, is_modern

_LEVEL = "metamcp_log_level"


async def set_level(ctx: Context, params: mcp_types.SetLevelRequestParams) -> mcp_types.EmptyResult:
    """`logging/setLevel`: from which level on this session wants log messages."""
    ctx.session._connection.state[_LEVEL] = params.level
    return mcp_types.EmptyResult()


def level_of(ctx: Context) -> LogLevel | None:
    """From which level on the messages for this request are wanted; None: none are."""
    if not is_modern(ctx):
        found: LogLevel | None = ctx.session._connection.state.get(_LEVEL)
        return found
    wanted = (ctx.meta or {}).get(LOG_LEVEL_META_KEY)
    return next((level for level in LOG_LEVELS if level == wanted), None)


async def tell(ctx: Context, said: LogMessage) -> None:
    """Tell a client what a host has said, on the stream of its call."""
    params = mcp_types.LoggingMessageNotificationParams(
        level=said.level, data=msgspec.json.decode(said.data), logger=said.logger or None
    )
    notification = mcp_types.LoggingMessageNotification(params=params)
    await ctx.session.send_notification(notification, ctx.request_id)
