"""An MCP server over stdio with prompts, resources, templates and completion.

Arguments: its name, then what it does besides: `silent` (it never answers a list of prompts),
`many` (a thousand resources more).
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    ListPromptsResult,
    PaginatedRequestParams,
    PromptReference,
    ResourceTemplateReference,
)

NAME, *HOW = sys.argv[1:] or ["reading"]
ODD = "odd name/ä"
server = MCPServer(NAME)
state = {"touched": 0}


@server.prompt(description="Says hello.")
def greet(who: str) -> str:
    return f"{NAME} greets {who}"


@server.prompt(name=ODD)
def odd() -> str:
    return "odd"


@server.resource("mem://one", mime_type="text/plain", description="The first.")
def one() -> str:
    return f"one of {NAME}, touched {state['touched']} times"


@server.resource("mem://bytes", mime_type="image/png")
def two() -> bytes:
    return b"\x89PNG\x00\xff"


@server.resource("mem://long", mime_type="text/plain")
def long() -> str:
    return "x" * 300_000


@server.resource("mem://noise", mime_type="application/octet-stream")
def noise() -> bytes:
    return random.Random(1).randbytes(1_500_000)


@server.resource("mem://item/{item}/of/{of}", mime_type="text/plain")
def item(item: str, of: str) -> str:
    return f"{item} of {of}, {NAME}"


@server.completion()
async def complete(
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: CompletionContext | None,
) -> Completion | None:
    told = (context.arguments or {}) if context else {}
    about = ref.name if isinstance(ref, PromptReference) else ref.uri
    return Completion(values=[f"{about}|{argument.name}|{argument.value}|{sorted(told)}"])


@server.tool()
async def touch(ctx: Context) -> int:
    """Change the first resource, and have a prompt more."""
    state["touched"] += 1
    await ctx.notify_resource_updated("mem://one")
    return state["touched"]


@server.tool()
async def grow(name: str, ctx: Context) -> str:
    """Have a prompt and a resource more."""

    @server.prompt(name=name)
    def more() -> str:
        return name

    await ctx.notify_prompts_changed()
    return name


def main() -> None:
    if "silent" in HOW:

        async def never(ctx: Any, params: PaginatedRequestParams) -> ListPromptsResult:
            await asyncio.Event().wait()
            raise AssertionError

        server._lowlevel_server.add_request_handler("prompts/list", PaginatedRequestParams, never)
    if "many" in HOW:
        for number in range(1000):

            @server.resource(f"mem://many/{number:04}", description="x" * 1000)
            def several() -> str:
                return "many"

    server.run()


if __name__ == "__main__":
    main()
