"""Signs of life for clients that take silence for death."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.gateway.mcp.context import Context
from services.gateway.mcp.news import Rising
from services.process import telemetry

ALIVE_S = 10.0
"""How often a client that wants progress hears something."""

log = telemetry.get_logger()


@contextlib.asynccontextmanager
async def waiting(ctx: Context) -> AsyncIterator[None]:
    """Say now and then that one is still waiting, if the client wants progress."""
    saying = asyncio.create_task(_say(ctx))
    try:
        yield
    finally:
        saying.cancel()


async def _say(ctx: Context) -> None:
    rising = Rising()
    try:
        while True:
            await asyncio.sleep(ALIVE_S)
            await ctx.session.report_progress(*rising.sign("still waiting"))
    except Exception:
        log.exception("mcp_sign_of_life_not_given")
