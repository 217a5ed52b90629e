"""From a task and its host to the tool calls to make, before anything is called.

Everything wrong with an input is found here, or when a step's references are filled in.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from jsonschema.exceptions import SchemaError, best_match  # type: ignore[import-untyped]
from jsonschema.validators import validator_for  # type: ignore[import-untyped]
from referencing import Registry

from contracts.facts import TaskRouted
from contracts.host import Capability, Host, Stdio, Step, StreamableHttp, TaskBinding, Tool
from contracts.nesting import MAX_DEPTH, too_deep
from contracts.replay import replayable
from contracts.task import MCP_CALL, TaskSpec, serves
from services.executor import domain


class BadInput(Exception):
    """The task's input does not fit the task type or the host; the message says where."""


class KnownHost:
    """A host as the executor knows it, with what is derived from it once."""

    __slots__ = ("_validators", "host", "seq", "tools")

    def __init__(self, seq: int, host: Host) -> None:
        self.seq = seq
        self.host = host
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in host.tools}
        self._validators: dict[str, Any] = {}

    def validator(self, task_type: str, schema: dict[str, Any]) -> Any:
        """The compiled schema of a task type. Raises SchemaError."""
        if task_type not in self._validators:
            cls = validator_for(schema)
            cls.check_schema(schema)
            # An empty registry: a schema may not make us fetch anything.
            self._validators[task_type] = cls(schema, registry=Registry())
        return self._validators[task_type]


class AttemptPlan(NamedTuple):
    """What one attempt is to do on its host."""

    user: str
    task: str
    attempt: int
    type: str
    host: Host
    raw: bytes
    """The input as it was given: the permit's digest is over exactly these bytes."""
    input: Any
    required: tuple[Capability, ...]
    steps: tuple[Step, ...]
    """Tool calls; none for a host that knows task types instead of tools."""
    literal: bool
    """The arguments stand as the user gave them: no references are looked for."""
    permit: str
    timeout_s: float
    """Seconds the host has for the work."""

    @property
    def replayable(self) -> bool:
        """Whether running this twice is harmless."""
        return replayable(self.host, self.type, self.steps[0].tool if self.literal else None)


def prepare(
    known: KnownHost,
    routed: TaskRouted,
    spec: TaskSpec,
    raw: bytes,
    permit: str,
    timeout_s: float | None = None,
) -> AttemptPlan:
    """Check the input and choose the steps. Raises BadInput.

    `timeout_s`: seconds that are left; without it, the limit of the whole attempt.
    """
    data = _decode(raw)
    if not serves(known.host, spec.type):
        raise BadInput(f"host {known.host.id} does not serve task type {spec.type}")
    binding = known.host.task_types.get(spec.type)
    if binding is not None:
        _validate(known, spec.type, binding, data)
        steps = binding.steps
        if not steps and isinstance(known.host.endpoint, Stdio | StreamableHttp):
            raise BadInput(f"host {known.host.id} names no tool for task type {spec.type}")
    else:
        steps = (_direct(known.host, data),)
    _check_tools(known, steps)
    return AttemptPlan(
        user=routed.user,
        task=routed.task,
        attempt=routed.attempt,
        type=spec.type,
        host=known.host,
        raw=raw,
        input=data,
        required=spec.required_capabilities,
        steps=steps,
        literal=binding is None,
        permit=permit,
        timeout_s=routed.route.timeout_s if timeout_s is None else timeout_s,
    )


def _decode(raw: bytes) -> dict[str, Any]:
    if too_deep(raw):
        raise BadInput(f"the input is nested more than {MAX_DEPTH} deep")
    try:
        data = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"the input is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadInput("the input is not a JSON object")
    return data


def _validate(known: KnownHost, task_type: str, binding: TaskBinding, data: Any) -> None:
    if not binding.input_schema:
        return
    try:
        error = best_match(known.validator(task_type, binding.input_schema).iter_errors(data))
    except SchemaError as broken:
        raise BadInput(
            f"host {known.host.id}: the input schema of {task_type} is wrong: {broken.message}"
        ) from broken
    except Exception as broken:
        # A reference that can't be resolved, or a pattern that Python does not know.
        raise BadInput(
            f"host {known.host.id}: the input schema of {task_type} can't be used: {broken}"
        ) from broken
    if error is not None:
        where = "".join(f".{part}" for part in error.absolute_path)
        raise BadInput(f"input{where}: {error.message}"[: domain.MESSAGE_BYTES])


def _direct(host: Host, data: dict[str, Any]) -> Step:
    tool, arguments = data.get("tool"), data.get("arguments", {})
    if not isinstance(tool, str) or not tool:
        raise BadInput('input.tool: name the tool to call, as in {"tool": "echo", "arguments": {}}')
    if not isinstance(arguments, dict):
        raise BadInput("input.arguments: must be a JSON object")
    unknown = sorted(set(data) - {"tool", "arguments", "files", "archive"})
    if unknown:
        known = "tool, arguments, files and archive"
        raise BadInput(f"input.{unknown[0]}: unknown; an {MCP_CALL} has {known}")
    allowed = host.callable_tools
    if allowed is not None and tool not in allowed:
        names = ", ".join(allowed) or "none"
        raise BadInput(f"input.tool: {MCP_CALL} may not call {tool!r} on {host.id}, only: {names}")
    return Step(tool, arguments)


def _check_tools(known: KnownHost, steps: tuple[Step, ...]) -> None:
    if not known.tools:
        return
    for step in steps:
        if step.tool not in known.tools:
            near = difflib.get_close_matches(step.tool, known.tools, n=3, cutoff=0.5)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise BadInput(f"host {known.host.id} has no tool {step.tool!r}.{hint}")
