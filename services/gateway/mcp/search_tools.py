"""The tools that find others, as agents are shown them in the place of hundreds."""

from __future__ import annotations

from mcp_types import Tool, ToolAnnotations

_NAME = {"type": "string", "description": "As find_tools has it."}

TOOLS: tuple[Tool, ...] = (
    Tool(
        name="find_tools",
        description="Find tools by what they do. Many more tools than are listed can be called:"
        " search here first, then use describe_tool and call_tool.",
        input_schema={
            "type": "object",
            "required": ["query"],
            "properties": {
                "query": {"type": "string", "description": "What you want to do, in plain words."},
                "limit": {"type": "integer", "minimum": 1, "maximum": 20, "default": 5},
            },
        },
        annotations=ToolAnnotations(read_only_hint=True),
    ),
    Tool(
        name="describe_tool",
        description="All about one tool: description, hints, and the schemas of its arguments and"
        " of its answer.",
        input_schema={"type": "object", "required": ["name"], "properties": {"name": _NAME}},
        annotations=ToolAnnotations(read_only_hint=True),
    ),
    Tool(
        name="call_tool",
        description="Call a tool that find_tools has found; the answer is the tool's own.",
        input_schema={
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": _NAME,
                "arguments": {"type": "object", "description": "By the tool's schema."},
            },
        },
        annotations=ToolAnnotations(read_only_hint=False, open_world_hint=True),
    ),
)
