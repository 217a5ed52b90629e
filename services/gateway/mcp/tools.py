"""What an agent sees of the orchestrator as one MCP server: names, schemas, and answers.

Pure: from hosts and tasks to what the protocol's messages hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from mcp_types import CallToolResult, TextContent, Tool, ToolAnnotations
from pydantic import ValidationError

from contracts import host as hosts
from contracts.host import Host
from contracts.status import Status, TaskView
from contracts.task import MCP_CALL
from services.gateway.rows import HostView

SEPARATOR = "__"
LONGEST_NAME = 128
"""Characters of a tool's name; a tool whose name would be longer is not offered."""
PAGE_BYTES = 512 * 1024
"""Of one answer to `tools/list`: many clients never ask for a second page, none takes any size."""
USABLE = frozenset({hosts.HealthStatus.HEALTHY, hosts.HealthStatus.WARNING})
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
    """The tools of hosts that work, by the name an agent calls; the first of two equal names."""
    every: dict[str, tuple[HostView, hosts.Tool]] = {}
    for host in found:
        if host.health.status not in USABLE or not host.enabled:
            continue
        for tool in host.tools:
            name = f"{host.id}{SEPARATOR}{tool.name}"
            if callable_(host, tool.name) and len(name) <= LONGEST_NAME:
                every.setdefault(name, (host, tool))
    return every


def callable_(host: Host, tool: str) -> bool:
    """Whether `mcp.call` may name this tool of the host."""
    return host.callable_tools is None or tool in host.callable_tools


def split(name: str) -> Sequence[tuple[str, str]]:
    """Every host and tool that a name may mean."""
    parts = name.split(SEPARATOR)
    return [
        (SEPARATOR.join(parts[:n]), SEPARATOR.join(parts[n:]))
        for n in range(1, len(parts))
        if all(parts[:n]) and parts[n]
    ]


def listed(name: str, host: Host, tool: hosts.Tool) -> Tool:
    """A host's tool as an agent sees it."""
    return Tool(
        name=name,
        description=f"{tool.description}\n\n(on {host.name})".strip(),
        input_schema=tool.input_schema or _ANY,
        annotations=ToolAnnotations(read_only_hint=tool.read_only, idempotent_hint=tool.idempotent),
    )


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
    }


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

    `data` is the stored result, None if it is too big for an answer: then a link to `url`.
    """
    if view.status is not Status.SUCCEEDED:
        why = view.error.message if view.error else ""
        return failed(why or f"task {view.id} ended as {view.status.value}")
    result = view.result
    if data is None:
        size = result.size if result else 0
        link = {"type": "resource_link", "uri": url, "name": "result", "size": size}
        text = f"The result of task {view.id} has {size} bytes: download it from {url}"
        return _read({"content": [{"type": "text", "text": text}, link]})
    found: Any = msgspec.json.decode(data)
    if view.type == MCP_CALL and isinstance(found, dict):
        return _read(found)
    return said(found)


def _read(found: Mapping[str, Any]) -> CallToolResult:
    is_error, structured = bool(found.get("is_error")), found.get("structured")
    if not isinstance(structured, dict | None):
        # Older versions of the protocol know objects only.
        structured = {"result": structured}
    shown = {
        "content": found.get("content") or [],
        "structuredContent": structured,
        "isError": is_error,
    }
    try:
        return CallToolResult.model_validate(shown)
    except ValidationError:
        # Content of a kind that is not known here is better shown as it is than not at all.
        return said(found, is_error=is_error)
