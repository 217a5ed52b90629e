"""The MCP extension `io.modelcontextprotocol/tasks` (SEP-2663): our tasks as its handles.

Pure: from a task's view to what the protocol calls a task.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mcp_types import INTERNAL_ERROR, RequestParams
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from contracts.status import Status, TaskView

TASKS = "io.modelcontextprotocol/tasks"
POLL_MS = 1000
"""How often a client should ask."""
_STATUS = {
    Status.SUCCEEDED: "completed",
    Status.CANCELLED: "cancelled",
    Status.FAILED: "completed",
    Status.TIMED_OUT: "failed",
    Status.REJECTED: "failed",
}
"""By its definition `failed` is for what would have been an error of the protocol."""


class TaskParams(RequestParams):
    """`tasks/get`, `tasks/cancel` and `tasks/update`: which task."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    task_id: str


def handle(view: TaskView) -> dict[str, Any]:
    """What `tools/call` answers in place of a result: the task, already on disk."""
    return {"resultType": "task", **_fields(view)}


def detailed(view: TaskView, result: dict[str, Any] | None) -> dict[str, Any]:
    """What `tasks/get` answers; `result` is the tool's answer, if the task is over."""
    fields = {"resultType": "complete", **_fields(view)}
    match fields["status"]:
        case "completed":
            fields["result"] = result or {"content": []}
        case "failed":
            message = view.error.message if view.error else view.status.value
            fields["error"] = {"code": INTERNAL_ERROR, "message": message}
        case _:
            pass
    return fields


def _fields(view: TaskView) -> dict[str, Any]:
    return {
        "taskId": view.id,
        "status": _STATUS.get(view.status, "working"),
        "statusMessage": _message(view),
        "createdAt": _time(view.created_at),
        "lastUpdatedAt": _time(view.updated_at),
        # The log forgets nothing.
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }


def _message(view: TaskView) -> str:
    if view.error is not None:
        return view.error.message
    place = f" on {view.host}" if view.host else ""
    return f"{view.status.value}{place}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
