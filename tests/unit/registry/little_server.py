"""A small MCP server that does what a file tells it to: `sick`, `die`, `hang` or `more`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("little", version="1.2")


def mood() -> str:
    path = Path(sys.argv[1])
    return path.read_text() if path.exists() else ""


@server.tool(annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True))
def check(word: str, ctx: Context[Any]) -> dict[str, str]:
    """Answer, as long as all is well; to `who`, who asks."""
    if word == "who":
        who = ctx.session.client_params.client_info
        return {"message": f"{who.name} {who.version}: {who.title}"}
    match mood():
        case "sick":
            return {"status": "error", "message": "no grammar for it"}
        case "die":
            sys.stderr.write("out of \x1b[31mluck\x1b[0m\n")
            os._exit(3)
        case "hang":
            threading.Event().wait()
    return {"status": "success", "message": word}


if mood() == "more":

    @server.tool()
    def extra() -> str:
        """Something new."""
        return "extra"


server.run("stdio")
