"""What the built-in servers of ours have in common: how their tools are marked, and answer."""

from __future__ import annotations

from typing import Any

from mcp_types import CallToolResult, TextContent, ToolAnnotations

READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)


def answer(structured: dict[str, Any], text: str) -> CallToolResult:
    """A tool's answer: the data once, and one short line for who reads text only.

    Left to itself the SDK writes the data twice, as JSON in a text as well.
    """
    content = [TextContent(type="text", text=text)]
    return CallToolResult(content=list(content), structured_content=structured)
