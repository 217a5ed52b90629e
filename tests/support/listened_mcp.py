"""An MCP server over stdio of today's SDK, which tells of its tools only those who listen.

Argument: FOLDER. Each process leaves a file `started-PID` in it, as `growing_mcp` does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("listened")


def who() -> int:
    """Which process this is."""
    return os.getpid()


@server.tool()
async def grow(name: str, ctx: Context) -> int:
    """Add a tool."""
    server.add_tool(who, name=name)
    await ctx.notify_tools_changed()
    return who()


if __name__ == "__main__":
    (Path(sys.argv[1]) / f"started-{os.getpid()}").touch()
    server.run()
