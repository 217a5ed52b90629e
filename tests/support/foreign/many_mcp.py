"""An MCP server over stdio with more tools than fit on one page, some of them with odd names."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as t
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

MANY = 250
ODD = ("größe", "a.b/c-d", "two__parts")
EMPTY: dict[str, Any] = {"type": "object"}
SUM = t.Tool(
    name="sum",
    description="Add two numbers.",
    input_schema={
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n"}},
        "required": ["a", "b"],
        "$defs": {"n": {"type": "integer"}},
    },
    output_schema={"type": "object", "properties": {"sum": {"type": "integer"}}},
    annotations=t.ToolAnnotations(read_only_hint=True, idempotent_hint=True),
)
TOOLS = [
    *(t.Tool(name=f"t{number:03}", input_schema=EMPTY) for number in range(MANY)),
    *(t.Tool(name=name, input_schema=EMPTY) for name in ODD),
    SUM,
]
NAMES = [tool.name for tool in TOOLS]


async def list_tools(context: Any, params: Any) -> t.ListToolsResult:
    return t.ListToolsResult(tools=TOOLS)


async def call_tool(context: Any, params: t.CallToolRequestParams) -> t.CallToolResult:
    given = params.arguments or {}
    answer = {"sum": given["a"] + given["b"]} if params.name == SUM.name else None
    text = t.TextContent(type="text", text=params.name)
    return t.CallToolResult(content=[text], structured_content=answer)


async def serve() -> None:
    server: Server[Any] = Server("many", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(serve())
