"""What an agent sees of the orchestrator as one MCP server: names, schemas, and answers.

Pure: from hosts and tasks to what the protocol's messages hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from mcp_types import CallToolResult, Icon, TextContent, Tool, ToolAnnotations
from pydantic import ValidationError

from contracts import host as hosts
from contracts.host import Host
from contracts.status import Status, TaskView
from contracts.task import MCP_CALL, tool_of
from services.gateway.rows import HostView

SEPARATOR = "__"
KINDS = frozenset({"text", "image", "audio", "resource", "resource_link"})
"""Of content, as the protocol has them."""
LONGEST_NAME = 128
"""Characters of a tool's name; a tool whose name would be longer is not offered."""
PAGE_BYTES = 512 * 1024
"""Of one answer to `tools/list`: many clients never ask for a second page, none takes any size."""
_ANY: dict[str, Any] = {"type": "object"}
_TASK_ID = {"type": "string", "description": "The task's id, as submit_task returned it."}

OWN: tuple[Tool, ...] = (
    Tool(
        name="submit_task",
        description="Have the orchestrator run a task on the best host, and get the task's id at"
        " once, or, with wait_s, its outcome. The task is durable: it runs to its end whatever"
        " happens to this connection.",
        input_schema={
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {"type": "string", "description": "A task type; see list_hosts."},
                "input": {"type": "object", "description": "The task type's input."},
                "id": {
                    "type": "string",
                    "description": "Your own id: the same task again with it changes nothing.",
                },
                "host": {"type": "string", "description": "Only this host may run it."},
                "project": {"type": "string", "description": "Id of the project it belongs to."},
                "priority": {"enum": ["high", "normal", "low"]},
                "is_heavy": {"type": "boolean", "description": "Heavy work: for one's own Space."},
                "deadline_s": {"type": "number", "description": "Limit of the whole task."},
                "wait_s": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": 60,
                    "description": "Wait so many seconds for the end.",
                },
            },
        },
        annotations=ToolAnnotations(read_only_hint=False, open_world_hint=True),
    ),
    Tool(
        name="get_task",
        description="The task as the log has it now, with its result once it is over.",
        input_schema={
            "type": "object",
            "required": ["task"],
            "properties": {
                "task": _TASK_ID,
                "wait_s": {"type": "number", "minimum": 0, "maximum": 60},
            },
        },
        annotations=ToolAnnotations(read_only_hint=True),
    ),
    Tool(
        name="cancel_task",
        description="Ask to end a task; get_task tells when it has ended.",
        input_schema={
            "type": "object",
            "required": ["task"],
            "properties": {"task": _TASK_ID},
        },
        annotations=ToolAnnotations(read_only_hint=False, idempotent_hint=True),
    ),
    Tool(
        name="list_hosts",
        description="The hosts you may use: health, task types with what they do, and tools.",
        input_schema={
            "type": "object",
            "properties": {"task_type": {"type": "string", "description": "Only hosts for it."}},
        },
        annotations=ToolAnnotations(read_only_hint=True),
    ),
)


def offered(found: Iterable[HostView]) -> dict[str, tuple[HostView, hosts.Tool]]:
    """The tools of hosts, by the name an agent calls; the first of two equal names."""
    every: dict[str, tuple[HostView, hosts.Tool]] = {}
    for host in found:
        if not host.enabled:
            continue
        for tool in host.tools:
            name = prefix(host) + tool.name
            usable = callable_(host, tool.name) and not tool.needs_task
            if usable and len(name) <= LONGEST_NAME:
                every.setdefault(name, (host, tool))
    return every


def callable_(host: Host, tool: str) -> bool:
    """Whether `mcp.call` may name this tool of the host."""
    return host.callable_tools is None or tool in host.callable_tools


def prefix(host: Host) -> str:
    """What the names of this host's tools begin with."""
    return host.id.replace("/", SEPARATOR) + SEPARATOR


def named(name: str, found: Iterable[Host]) -> tuple[str, str] | None:
    """The host and tool of a name, the first of those that it may mean; None: there is none.

    Hosts that are down or need a moment count too. As the operator's stand before a user's own, no
    host of a user is called in place of one of theirs.
    """
    for host in found:
        begin = prefix(host)
        if name.startswith(begin) and any(name == begin + tool.name for tool in host.tools):
            return host.id, name.removeprefix(begin)
    return None


def listed(name: str, host: Host, tool: hosts.Tool) -> Tool:
    """A host's tool as an agent sees it."""
    plain = Tool(
        name=name,
        title=tool.title or None,
        description=f"{tool.description}\n\n(on {host.name})".strip(),
        input_schema=tool.input_schema or _ANY,
        output_schema=tool.output_schema,
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


def promises(view: TaskView, found: Iterable[Host]) -> bool:
    """Whether the tool that a task called has an output schema."""
    name = tool_of(view.spec)
    tools = (tool for host in found if host.id == view.host for tool in host.tools)
    return any(tool.name == name and tool.output_schema is not None for tool in tools)


def page(tools: Iterable[Tool]) -> list[Tool]:
    """As many of the tools as fit into one answer, and at least one of them."""
    taken: list[Tool] = []
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


def answer(
    view: TaskView, data: bytes | None, url: str, *, promised: bool = False
) -> CallToolResult:
    """What a host's tool said, from the task that called it.

    `data` is what was stored of it, None if that is too big for an answer: then a link to `url`.
    `promised`: the tool has an output schema, and clients refuse an answer without structured
    content that is no error.
    """
    result, is_error = view.result, view.status is not Status.SUCCEEDED
    why = view.error.message if view.error else ""
    if is_error and (result is None or view.status is not Status.FAILED):
        return failed(why or f"task {view.id} ended as {view.status.value}")
    if data is None:
        size = result.size if result else 0
        link = {"type": "resource_link", "uri": url, "name": "result", "size": size}
        text = f"The result of task {view.id} has {size} bytes: download it from {url}"
        if is_error:
            text = f"{why}\n\nThe whole answer has {size} bytes: download it from {url}"
        elif promised:
            text = f"The call has succeeded. {text}, since it does not fit into an answer"
        content = [{"type": "text", "text": text}, link]
        return _read({"content": content, "is_error": is_error or promised})
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
