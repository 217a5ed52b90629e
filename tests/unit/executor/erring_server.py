"""A small MCP server whose one tool answers with the JSON-RPC error it is asked for."""

from __future__ import annotations

from typing import Any

from mcp import MCPError
from mcp.server.mcpserver import MCPServer

server = MCPServer("erring", version="1.0")


@server.tool()
def err(code: int) -> dict[str, Any]:
    """Answer with this error; without one, as one should."""
    if code:
        raise MCPError(code, f"error {code}")
    return {"fine": True}


if __name__ == "__main__":
    server.run("stdio")
