"""The tools that scenarios of the MCP conformance suite call, over stdio."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import mcp_types as t
from mcp import MCPError
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server


def tool(name: str, /, **properties: dict[str, Any]) -> t.Tool:
    schema = {"type": "object", "properties": properties}
    return t.Tool(name=name, description=name, input_schema=schema)


TEXT, NUMBER = {"type": "string"}, {"type": "number"}
TOOLS = [
    tool("greet", name=TEXT),
    tool("slow_compute", seconds=NUMBER, label=TEXT),
    tool("failing_job"),
    tool("protocol_error_job"),
    tool("confirm_delete", filename=TEXT),
    tool("test_missing_capability"),
    tool("test_x_mcp_header", region=TEXT | {"x-mcp-header": "Region"}),
]


def said(text: str, *, is_error: bool = False) -> t.CallToolResult:
    return t.CallToolResult(content=[t.TextContent(type="text", text=text)], is_error=is_error)


async def list_tools(context: Any, params: Any) -> t.ListToolsResult:
    return t.ListToolsResult(tools=TOOLS)


async def call_tool(context: Any, params: t.CallToolRequestParams) -> t.CallToolResult:
    given = params.arguments or {}
    match params.name:
        case "greet":
            return said(f"Hello, {given.get('name')}!")
        case "slow_compute":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), given.get("seconds", 0))
            return said(f"computed {given.get('label')}")
        case "failing_job":
            return said("it failed", is_error=True)
        case "protocol_error_job":
            raise MCPError(t.INTERNAL_ERROR, "it broke")
        case "test_missing_capability":
            needed = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(t.MISSING_REQUIRED_CLIENT_CAPABILITY, "sampling is needed", needed)
        case _:
            return said("done")


async def main() -> None:
    server = Server("conformance", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


asyncio.run(main())
