"""An MCP server over stdio whose tools say all that a tool may say, also in errors."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as t
from mcp import MCPError
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

INSTRUCTIONS = "Ask for what you need, and for nothing else."
LOG = "test_a ok\n" * 1500 + "FAILED test_b: expected 1, got 2"
BIG = "x" * 300_000
ITEMS: list[t.ContentBlock] = [
    t.TextContent(type="text", text="ä", annotations=t.Annotations(priority=0.5)),
    t.ImageContent(type="image", data="iVBORw0KGgo=", mime_type="image/png"),
    t.AudioContent(type="audio", data="UklGRg==", mime_type="audio/wav"),
    t.ResourceLink(type="resource_link", name="a", uri="file:///a.txt", size=3),
    t.EmbeddedResource(
        type="resource",
        resource=t.TextResourceContents(uri="mem://t", text="t", mime_type="text/plain"),
    ),
]
ANSWERS: dict[str, dict[str, Any]] = {
    "items": {"content": ITEMS, "meta": {"vendor/trace": "abc"}},
    "empty": {"content": []},
    "structured": {"content": [], "structured_content": {"n": 1, "deep": {"list": [None, 2.5]}}},
    "failing": {
        "content": [t.TextContent(type="text", text=LOG), *ITEMS],
        "structured_content": {"n": 1, "failed": ["test_b"]},
        "is_error": True,
        "meta": {"vendor/trace": "def"},
    },
    "wordless": {"content": [], "structured_content": {"error": "only here"}, "is_error": True},
    "big_error": {"content": [t.TextContent(type="text", text=BIG + LOG)], "is_error": True},
}
N = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
HINTS = t.ToolAnnotations(
    title="Hinted",
    read_only_hint=False,
    destructive_hint=False,
    idempotent_hint=True,
    open_world_hint=False,
)
TOOLS = [
    t.Tool(
        name=name,
        title=f"The {name}",
        description="Says it.",
        input_schema={"type": "object"},
        output_schema=N if name in ("structured", "failing") else None,
        icons=[t.Icon(src="data:image/png;base64,AA==", mime_type="image/png", sizes=["1x1"])],
        annotations=HINTS,
        _meta={"ui": {"resourceUri": "ui://x"}},
    )
    for name in (*ANSWERS, "refuses")
]


async def list_tools(context: Any, params: Any) -> t.ListToolsResult:
    return t.ListToolsResult(tools=TOOLS)


async def call_tool(context: Any, params: t.CallToolRequestParams) -> t.CallToolResult:
    if params.name == "refuses":
        raise MCPError(-32050, "not today", {"why": "rain"})
    return t.CallToolResult(**ANSWERS[params.name])


async def serve() -> None:
    server: Server[Any] = Server(
        "rich", on_list_tools=list_tools, on_call_tool=call_tool, instructions=INSTRUCTIONS
    )
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(serve())
