"""The tools of the suite, and what they answer.

Without those that change the lists: the suite waits 1.5 s for the news of it, and hosts are
looked at again within seconds.
"""

from __future__ import annotations

import warnings
from typing import Any

import mcp_types as t
from mcp import MCPError

from tests.conformance.host import reads
from tests.conformance.host.asks import ASKING, Answer, Context
from tests.conformance.host.words import JOB_S, passing, said

ANYTHING = {"type": "object"}
TEXT, NUMBER = {"type": "string"}, {"type": "number"}
SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": TEXT, "city": TEXT},
        }
    },
    "properties": {
        "name": TEXT,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": TEXT,
        "email": TEXT,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
SAID = {
    "test_simple_text": "This is a simple text response for testing.",
    "test_x_mcp_header": "done",
    "json_schema_2020_12_tool": "done",
}


def tool(name: str, schema: dict[str, Any] | None = None, /, **properties: Any) -> t.Tool:
    """One that changes nothing, and so may be called again."""
    wanted = schema or {"type": "object", "properties": properties}
    hints = t.ToolAnnotations(read_only_hint=True)
    return t.Tool(name=name, description=name, input_schema=wanted, annotations=hints)


TOOLS = [
    *(tool(name) for name in SAID if name.startswith("test_simple")),
    *(tool(f"test_{kind}_content") for kind in ("image", "audio")),
    *(tool(f"test_{name}") for name in ("embedded_resource", "multiple_content_types")),
    *(tool(f"test_tool_with_{name}") for name in ("logging", "progress")),
    *(tool(f"test_{name}") for name in ("logging_tool", "error_handling", "reconnection")),
    tool("test_x_mcp_header", region=TEXT | {"x-mcp-header": "Region"}),
    tool("json_schema_2020_12_tool", SCHEMA_2020_12),
    tool("test_missing_capability"),
    tool("greet", name=TEXT),
    tool("slow_compute", seconds=NUMBER, label=TEXT),
    *(tool(name) for name in ("failing_job", "protocol_error_job")),
    *(tool(name, ANYTHING) for name in ASKING),
]


async def listed(context: Context, params: Any) -> t.ListToolsResult:
    return t.ListToolsResult(tools=TOOLS)


async def call(context: Context, params: t.CallToolRequestParams) -> Answer:
    given = params.arguments or {}
    if params.name in ASKING:
        return await ASKING[params.name](context, params)
    if params.name in SAID:
        return said(SAID[params.name])
    if params.name in CONTENT:
        return t.CallToolResult(content=CONTENT[params.name])
    match params.name:
        case "greet":
            return said(f"Hello, {given.get('name')}!")
        case "slow_compute":
            await passing(max(JOB_S, given.get("seconds", 0)))
            return said(f"computed {given.get('label')}")
        case "failing_job":
            await passing(JOB_S)
            return said("it failed", is_error=True)
        case "protocol_error_job":
            await passing(JOB_S)
            raise MCPError(t.INTERNAL_ERROR, "it broke")
        case "test_error_handling":
            text = "This tool intentionally returns an error for testing"
            return said(text, is_error=True)
        case "test_missing_capability":
            needed = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(t.MISSING_REQUIRED_CLIENT_CAPABILITY, "sampling is needed", needed)
    return await _while_telling(context, params.name)


async def _while_telling(context: Context, name: str) -> t.CallToolResult:
    """What says something besides its answer."""
    match name:
        case "test_tool_with_logging" | "test_logging_tool":
            for text in ("execution started", "processing data", "execution completed"):
                await logged(context, f"Tool {text}")
                await passing(0.05)
        case "test_tool_with_progress":
            for done in (0, 50, 100):
                await context.session.report_progress(done, 100, f"{done} of 100")
                await passing(0.05)
        case "test_reconnection":
            if context.close_sse_stream is not None:
                await context.close_sse_stream()
            await passing(0.2)
        case _:
            raise MCPError(t.INVALID_PARAMS, f"there is no tool {name}")
    return said("executed")


async def logged(context: Context, text: str) -> None:
    """Have something logged at the client's; in the newer era only where it asked for that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        related = context.request_id
        await context.session.send_log_message("info", text, related_request_id=related)


IMAGE = t.ImageContent(type="image", data=reads.PNG, mime_type="image/png")


def embedded(uri: str, content: str, kind: str = "text/plain") -> t.EmbeddedResource:
    """A resource within an answer."""
    return t.EmbeddedResource(type="resource", resource=reads.text(uri, content, kind))


CONTENT: dict[str, list[t.ContentBlock]] = {
    "test_image_content": [IMAGE],
    "test_audio_content": [t.AudioContent(type="audio", data=reads.WAV, mime_type="audio/wav")],
    "test_embedded_resource": [
        embedded("test://embedded-resource", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        reads.said("Multiple content types test:"),
        IMAGE,
        embedded(
            "test://mixed-content-resource", '{"test":"data","value":123}', "application/json"
        ),
    ],
}
"""What these tools answer, by their names."""
