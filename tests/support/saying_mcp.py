"""An MCP server whose one tool says something in a log message before it answers.

Over stdio; `served` serves it over HTTP, where a message goes on the stream of its call.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import mcp_types
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations

TOOL = "say"
HINTS = ToolAnnotations(read_only_hint=True, idempotent_hint=True)


class Server:
    """The server, and who is in it."""

    def __init__(self) -> None:
        self.mcp = MCPServer("saying", version="1", log_level="WARNING")
        self.level = ""
        """What was asked for with `logging/setLevel`."""
        self._inside = 0
        self._met = asyncio.Condition()
        self.mcp.add_tool(self.say, name=TOOL, annotations=HINTS)
        low: Any = self.mcp._lowlevel_server
        low.add_request_handler("logging/setLevel", mcp_types.SetLevelRequestParams, self._set)

    async def _set(self, _: Any, params: mcp_types.SetLevelRequestParams) -> mcp_types.EmptyResult:
        self.level = params.level
        return mcp_types.EmptyResult()

    async def say(
        self, ctx: Context[Any], data: Any = "", level: Any = "info", times: int = 1, among: int = 1
    ) -> str:
        """Say it, once so many calls are here; the answer is the level that was asked for."""
        async with self._met:
            self._inside += 1
            self._met.notify_all()
            await self._met.wait_for(lambda: self._inside >= among)
        asked = ctx.request_context
        for _ in range(times):
            note = mcp_types.LoggingMessageNotificationParams(level=level, data=data, logger="l")
            message = mcp_types.LoggingMessageNotification(params=note)
            await asked.session.send_notification(message, asked.request_id)
        meta: Any = asked.meta or {}
        return str(meta.get(mcp_types.LOG_LEVEL_META_KEY, self.level))


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are the test's."""
        yield


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The server over HTTP; what this gives is its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Server().mcp.streamable_http_app(), log_level="error")
    config.timeout_graceful_shutdown = 0
    running = _Quiet(config)
    serving = asyncio.create_task(running.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    finally:
        running.should_exit = running.force_exit = True
        await asyncio.wait([serving])


if __name__ == "__main__":
    Server().mcp.run("stdio")
