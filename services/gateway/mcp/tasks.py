"""The MCP extension `io.modelcontextprotocol/tasks` (SEP-2663): our tasks as its handles.

Pure: from a task's view to what the protocol calls a task.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mcp_types import INTERNAL_ERROR, RequestParams
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from contracts import rpc_error
from contracts.facts import FailureKind
from contracts.rpc_error import RpcError
from contracts.status import Status, TaskView
from services.gateway.mcp import questions

TASKS = "io.modelcontextprotocol/tasks"
SOONEST_POLL_MS = 250
LATEST_POLL_MS = 10_000
"""How often a client should ask: each time a quarter of the task's age.

Asking every second, two long tasks alone would be over the usual limit of requests.
"""
_STATUS = {
    Status.SUCCEEDED: "completed",
    Status.CANCELLED: "cancelled",
    Status.FAILED: "completed",
    Status.TIMED_OUT: "failed",
    Status.REJECTED: "failed",
}
"""By its definition `failed` is for what would have been an error of the protocol: `of_host`."""


class TaskParams(RequestParams):
    """`tasks/get`, `tasks/cancel` and `tasks/update`: which task."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    task_id: str


def handle(view: TaskView, now: float) -> dict[str, Any]:
    """What `tools/call` answers in place of a result: the task, already on disk."""
    return {"resultType": "task", **_fields(view, now)}


def detailed(
    view: TaskView,
    result: dict[str, Any] | None,
    now: float,
    wanted: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What `tasks/get` answers; `result` is the tool's answer, if the task is over, and `wanted`
    what its client is asked for."""
    fields = {"resultType": "complete", **_fields(view, now)}
    if wanted:
        fields |= {"status": "input_required", "statusMessage": view.waiting}
        fields["inputRequests"] = wanted
    match fields["status"]:
        case "completed":
            fields["result"] = result or {"content": []}
        case "failed":
            fields["error"] = _error(view)
        case _:
            pass
    return fields


def of_host(view: TaskView) -> RpcError | None:
    """The error of the protocol that the task's host has answered with; None: it did not."""
    error = view.error
    if view.status is not Status.FAILED or error is None or error.code != FailureKind.PROTOCOL:
        return None
    return rpc_error.read(error.message)


def _error(view: TaskView) -> dict[str, Any]:
    if (error := of_host(view)) is not None:
        found = {"code": error.code, "message": error.message}
        return found if error.data is None else found | {"data": error.data}
    message = view.error.message if view.error else view.status.value
    return {"code": INTERNAL_ERROR, "message": message}


def _fields(view: TaskView, now: float) -> dict[str, Any]:
    return {
        "taskId": view.id,
        "status": "failed" if of_host(view) else _STATUS.get(view.status, "working"),
        "statusMessage": _message(view),
        "createdAt": _time(view.created_at),
        "lastUpdatedAt": _time(view.updated_at),
        # The log forgets nothing.
        "ttlMs": None,
        "pollIntervalMs": _poll_ms(now - view.created_at),
    }


def _poll_ms(age_s: float) -> int:
    return int(min(LATEST_POLL_MS, max(SOONEST_POLL_MS, age_s * 1000 / 4)))


def _message(view: TaskView) -> str:
    if view.error is not None:
        return view.error.message
    if asks := questions.told(view):
        return asks
    if view.waiting:
        return f"{view.status.value}, waiting: {view.waiting}"
    place = f" on {view.host}" if view.host else ""
    return f"{view.status.value}{place}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
