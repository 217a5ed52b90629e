"""What an agent sees of the orchestrator as one MCP server: names, schemas, and answers.

Pure: from hosts and tasks to what the protocol's messages hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from mcp_types import CallToolResult, Icon, TextContent, Tool, ToolAnnotations
from pydantic import BaseModel, ValidationError

from contracts import host as hosts
from contracts.host import Host
from contracts.status import Status, TaskView
from contracts.task import MCP_CALL
from services.gateway.mcp.early import admitting, instead
from services.gateway.rows import HostView

KINDS = frozenset({"text", "image", "audio", "resource", "resource_link"})
"""Of content, as the protocol has them."""
PAGE_BYTES = 512 * 1024
"""Of one answer to `tools/list`: many clients never ask for a second page, none takes any size."""
_ANY: dict[str, Any] = {"type": "object"}
M = TypeVar("M", bound=BaseModel)


def usable(host: HostView, tool: hosts.Tool) -> bool:
    """Whether agents are shown this tool of a host."""
    return host.enabled and callable_(host, tool.name) and not tool.needs_task


def callable_(host: Host, tool: str) -> bool:
    """Whether `mcp.call` may name this tool of the host."""
    return host.callable_tools is None or tool in host.callable_tools


def listed(name: str, host: Host, tool: hosts.Tool, description: str = "") -> Tool:
    """A host's tool as an agent sees it; `description`: in the place of the host's."""
    plain = Tool(
        name=name,
        title=tool.title or None,
        description=f"{description or tool.description}\n\n(on {host.name})".strip(),
        input_schema=tool.input_schema or _ANY,
        output_schema=admitting(tool.output_schema),
        annotations=ToolAnnotations(
            title=tool.hints_title or None,
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            open_world_hint=tool.open_world,
        ),
        _meta=tool.meta,
    )
    try:
        icons = [Icon.model_validate(icon) for icon in tool.icons]
    except ValidationError:
        # Of a release that knew other icons: they are no reason to hide the tools.
        return plain
    return plain.model_copy(update={"icons": icons}) if icons else plain


def page(tools: Iterable[M]) -> list[M]:
    """As many of the tools as fit into one answer, and at least one of them."""
    taken: list[M] = []
    size = 0
    for tool in tools:
        size += len(tool.model_dump_json(by_alias=True, exclude_none=True).encode())
        if taken and size > PAGE_BYTES:
            break
        taken.append(tool)
    return taken


def host_summary(host: HostView) -> dict[str, Any]:
    """A host in few words, for an agent that looks for one."""
    return {
        "id": host.id,
        "name": host.name,
        "status": host.health.status.value,
        "reason": host.health.reason,
        "task_types": {
            name: {"summary": binding.summary, "input_schema": binding.input_schema}
            for name, binding in host.task_types.items()
        },
        "tools": [tool.name for tool in host.tools if callable_(host, tool.name)],
    } | ({"instructions": host.instructions} if host.instructions else {})


def said(value: Any, *, is_error: bool = False) -> CallToolResult:
    """An answer of one of the orchestrator's own tools."""
    encoded = msgspec.json.encode(value)
    plain = msgspec.json.decode(encoded)
    text = msgspec.json.format(encoded).decode()
    structured = plain if isinstance(plain, dict) else {"result": plain}
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=structured,
        is_error=is_error,
    )


def failed(text: str) -> CallToolResult:
    """An answer that says what went wrong."""
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def answer(view: TaskView, data: bytes | None, url: str) -> CallToolResult:
    """What a host's tool said, from the task that called it.

    `data` is what was stored of it, None if that is too big for an answer: then a link to `url`.
    """
    result, is_error = view.result, view.status is not Status.SUCCEEDED
    why = view.error.message if view.error else ""
    if is_error and (result is None or view.status is not Status.FAILED):
        return failed(why or f"task {view.id} ended as {view.status.value}")
    if data is None:
        size = result.size if result else 0
        link = {"type": "resource_link", "uri": url, "name": "result", "size": size}
        there = f"read_result reads it in parts; or download it from {url}"
        text = f"The result of task {view.id} has {size} bytes: {there}"
        if is_error:
            text = f"{why}\n\nThe whole answer has {size} bytes: {there}"
        content = [{"type": "text", "text": text}, link]
        structured = None if is_error else instead(view, text)
        return _read({"content": content, "is_error": is_error, "structured": structured})
    found: Any = msgspec.json.decode(data)
    if view.type == MCP_CALL and isinstance(found, dict):
        return _read(found)
    return said(found, is_error=is_error)


def _read(found: Mapping[str, Any]) -> CallToolResult:
    is_error, structured = bool(found.get("is_error")), found.get("structured")
    if not isinstance(structured, dict | None):
        # Older versions of the protocol know objects only.
        structured = {"result": structured}
    content = found.get("content") or []
    shown = {
        "content": [_readable(item) for item in content] if isinstance(content, list) else content,
        "structuredContent": structured,
        "isError": is_error,
        "_meta": found.get("meta"),
    }
    try:
        return CallToolResult.model_validate(shown)
    except ValidationError:
        # What clients would refuse is better shown as it is than not at all.
        return said(found, is_error=is_error)


def _readable(item: Any) -> dict[str, Any]:
    """Content that clients take: without fields that hold nothing, and of a kind that they do not
    know as text."""
    if isinstance(item, dict) and item.get("type") in KINDS:
        return {name: value for name, value in item.items() if value is not None}
    return {"type": "text", "text": msgspec.json.encode(item).decode()}
