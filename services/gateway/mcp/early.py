"""A call answered by its task instead of its outcome: what that says, and how a tool's output
schema admits it, so that clients which check answers take it. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from mcp_types import CallToolResult, TextContent

from contracts.status import TaskView
from services.gateway.mcp import questions

INSTEAD: dict[str, Any] = {
    "type": "object",
    "title": "Task",
    "description": "In place of the outcome: the task that has it. Ask get_task or read_result.",
    "required": ["task", "status", "message"],
    "properties": {
        "task": {"type": "string"},
        "status": {"type": "string"},
        "message": {"type": "string"},
        "question": {"type": "object", "description": "What it asks: see answer_task."},
    },
}
_AT = "#/anyOf/0"
"""Where a tool's own schema stands in the one that is listed."""
_OF_THE_WHOLE = ("$schema", "type")


def admitting(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    """A tool's output schema that admits a task as well."""
    if schema is None:
        return None
    own = schema if "$id" in schema else _moved(schema)
    inner = {name: value for name, value in own.items() if name != "$schema"}
    outer = {name: schema[name] for name in _OF_THE_WHOLE if name in schema}
    return outer | {"anyOf": [inner, INSTEAD]}


def instead(view: TaskView, message: str) -> dict[str, Any]:
    """A task in place of its outcome."""
    told: dict[str, Any] = {"task": view.id, "status": view.status.value, "message": message}
    if view.question is not None and not view.over:
        told["question"] = msgspec.to_builtins(view.question)
    return told


def answered_early(view: TaskView, why: str = "") -> CallToolResult:
    """The answer about a task that is not over; `why`: an answer to its question was not taken."""
    place = f" on {view.host}" if view.host else ""
    asks = questions.told(view)
    reason = f", waiting: {view.waiting}" if view.waiting and not asks else ""
    text = (
        f"This call goes on as task {view.id} ({view.status.value}{place}{reason}) and is not"
        f" lost: call get_task with task {view.id} and wait_s (45, say) for its outcome, as"
        " often as it takes. cancel_task ends it."
    )
    refused = f"The answer was not taken: {why}" if why else ""
    text = "\n\n".join(filter(None, (refused, asks, text)))
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content=instead(view, text)
    )


def _moved(part: Any) -> Any:
    """The same schema one place further down: what refers to its root refers to that place."""
    if isinstance(part, list):
        return [_moved(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {name: _referring(name, value) for name, value in part.items()}


def _referring(name: str, value: Any) -> Any:
    if name == "$ref" and isinstance(value, str) and (value == "#" or value.startswith("#/")):
        return _AT + value[1:]
    return _moved(value)
