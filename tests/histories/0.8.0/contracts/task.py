"""Tasks: what a user asks for."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec

from contracts.host import Capability, Execute, Host, OnLeave
from contracts.result import Pointer, sha256_hex
from contracts.tags import Tags

MCP_CALL = "mcp.call"
"""The generic task type every MCP host serves: input `{"tool": ..., "arguments": {...}}`."""

MAX_FILES = 10_000
"""Files that one task may bring along, unless an executor is set to another number."""
MAX_FILES_BYTES = 256 * 1024 * 1024
"""Bytes of them all, unpacked."""
MAX_INPUT_BYTES = 8 * 1024 * 1024
"""Bytes of an input in the object store: room for a pointer to each of `MAX_FILES` files."""


class Priority(StrEnum):
    """Order of dispatch; low work ages upwards, so it never starves."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


Seconds = Annotated[float, msgspec.Meta(gt=0, le=7 * 86400)]
# Not `$`, which in Python also matches before a last newline; this means the same in ECMA 262.
TypeName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}(?![\s\S])")]


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Everything about a task that decides where and how it runs."""

    type: TypeName
    """Task type, e.g. `code_analysis`; `mcp.call` names a host's tool directly."""
    input: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
    """The type's input: a JSON object, stored in canonical form (sorted keys)."""
    input_pointer: Pointer | None = None
    """Instead of `input`, when the input is above 64 KiB (`PUT /api/blobs`)."""
    priority: Priority = Priority.NORMAL
    required_capabilities: tuple[Capability, ...] = ()
    """Hard filter: a host lacking one of these is never chosen."""
    preferred_capabilities: tuple[Capability, ...] = ()
    """Soft: counts in the score."""
    is_heavy: bool = False
    """Heavy work goes to the user's own Space, or to a host that accepts heavy work."""
    host: str | None = None
    """Only this host may run the task."""
    timeout_s: Seconds | None = None
    """Limit of one attempt; default: the router's `default_task_timeout_s` (300)."""
    deadline_s: Seconds | None = None
    """Limit of the whole task from its creation, waiting included; default: the router's."""
    delay_s: Seconds | None = None
    """Do not start earlier than this long after creation."""
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    on_unknown: Literal["fail", "retry"] = "fail"
    """When an attempt's outcome is unknown and the tool is not idempotent: fail, or run again."""
    retry_tool_errors: bool = False
    """Also retry when the tool itself answers with an error."""
    on_leave: OnLeave | None = None
    """At `/mcp`, when whoever waits for its end goes away; default: the host's."""
    fresh: bool = False
    """Ask for work, also where an earlier result could be given again."""
    approve: bool = False
    """A person has to allow it before a host gets it, also where the host asks for no approval."""
    tags: Tags = msgspec.field(default_factory=dict)
    """What lists can be filtered by: at most 16, a key of A-Z a-z 0-9 _ . - and a value of at most
    256 characters. They may be changed later, see `task.tagged`."""
    again: str | None = None
    """The task of the same user that this one repeats."""
    batch: str | None = None
    """The batch that it belongs to."""


class TaskRequest(TaskSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task as a client sends it: the spec and, if it likes, its own id."""

    id: str | None = None
    """Client-given task id: sending it again with the same content changes nothing."""
    project: str | None = None
    """The project it belongs to: its members see the task and its result."""


def serves(host: Host, type_: str) -> bool:
    """Tell whether a host is for this task type; one that offers tools takes `mcp.call` as well.

    An `/execute` host knows task types, not tools.
    """
    return type_ in host.task_types or (
        type_ == MCP_CALL and not isinstance(host.endpoint, Execute)
    )


class _Call(msgspec.Struct):
    tool: Any = ""


_call: msgspec.json.Decoder[_Call] = msgspec.json.Decoder(_Call)


def tool_of(spec: TaskSpec) -> str:
    """The tool that a task of the type `mcp.call` names; empty if that is not known here."""
    if spec.type != MCP_CALL or spec.input_pointer is not None:
        return ""
    try:
        found = _call.decode(spec.input).tool
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def canonical(value: Any) -> bytes:
    """Encode JSON with sorted keys: the form whose digest names an input."""
    return msgspec.json.encode(value, order="deterministic")


def input_sha256(spec: TaskSpec) -> str:
    """Return the digest every route, permit and outcome of the task repeats."""
    return spec.input_pointer.sha256 if spec.input_pointer else sha256_hex(bytes(spec.input))


def content_digest(spec: TaskSpec) -> str:
    """Return the digest that tells whether a task id sent again carries the same content.

    Tags, `again` and `batch` are part of it: with others something else was asked for.
    """
    return sha256_hex(canonical(spec))
