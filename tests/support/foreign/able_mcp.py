"""The recording server with more: slow tools, one that asks, one that logs, a prompt, a resource.

Argument: `http`, to be served so on a free port; none: over stdio.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from pydantic import BaseModel

from tests.support import http_mcp
from tests.support.recording_mcp import READ_ONLY, WRITES, live, passed, recorded, server


class Person(BaseModel):
    """What is asked for."""

    name: str


async def whose() -> Elicit[Person]:
    return Elicit("Who are you?", Person)


async def _take(tool: str, context: Context[Any], mark: str, ms: float) -> dict[str, Any]:
    with recorded(tool, context, mark=mark):
        await passed(ms / 1000)
    return {"mark": mark}


@server.tool(annotations=READ_ONLY)
async def look(context: Context[Any], mark: str, ms: float) -> dict[str, Any]:
    """Take `ms` milliseconds; may be done again."""
    return await _take("look", context, mark, ms)


@server.tool(annotations=WRITES)
async def change(context: Context[Any], mark: str, ms: float) -> dict[str, Any]:
    """Take `ms` milliseconds; not to be done again."""
    return await _take("change", context, mark, ms)


@server.tool(annotations=READ_ONLY)
async def ask(who: Annotated[ElicitationResult[Person], Resolve(whose)]) -> str:
    """Ask who is there."""
    return f"hello {who.data.name}" if isinstance(who, AcceptedElicitation) else "nobody"


@server.tool(annotations=READ_ONLY)
async def talk(context: Context[Any]) -> str:
    """Log something."""
    await context.info("said by the host")
    return "done"


@server.prompt()
def greet() -> str:
    """Greet."""
    return "say hello"


@server.resource("mem://note")
def note() -> str:
    """A note."""
    return "what is noted"


if __name__ == "__main__":
    # Logging is deprecated in the newest protocol, and there.
    warnings.simplefilter("ignore")
    if sys.argv[1:] == ["http"]:
        http_mcp.main()
    else:
        live()
