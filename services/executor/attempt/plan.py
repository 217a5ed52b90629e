"""From a task and its host to the tool calls to make, before anything is called.

Everything wrong with an input is found here, or when a step's references are filled in.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from contracts.facts import TaskRouted
from contracts.host import (
    Capability,
    Host,
    OpenApi,
    Stdio,
    Step,
    StreamableHttp,
    TaskBinding,
    Tool,
    operated,
)
from contracts.message import MESSAGE_BYTES
from contracts.nesting import MAX_DEPTH, too_deep
from contracts.replay import replayable
from contracts.task import MCP_CALL, TaskSpec, serves
from services.outside import addresses
from services.outside.schemas import Invalid, Schema, Unjudged


class BadInput(Exception):
    """The task's input does not fit the task type or the host; the message says where."""


class KnownHost:
    """A host as the executor knows it, with what is derived from it once."""

    __slots__ = ("_schemas", "audience", "host", "refused", "seq", "tools")

    def __init__(self, seq: int, host: Host, spaces: str = addresses.SPACES) -> None:
        """`spaces`: the template of the addresses of Spaces."""
        self.seq = seq
        self.host = host
        self.audience = self.refused = ""
        """Whom permits for it are for; or why it has no address that could be called."""
        try:
            self.audience = addresses.audience(host, spaces)
        except addresses.AddressRefused as refused:
            self.refused = str(refused)
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in host.tools}
        self._schemas: dict[str, Schema | Invalid | Unjudged] = {}

    def schema(self, task_type: str, schema: dict[str, Any]) -> Schema:
        """The compiled schema of a task type. Raises Invalid, Unjudged."""
        known = self._schemas.get(task_type)
        if known is None:
            try:
                known = Schema(schema)
            except (Invalid, Unjudged) as error:
                known = error
            self._schemas[task_type] = known
        if isinstance(known, Schema):
            return known
        raise known


class HostRead(NamedTuple):
    """What a host is asked that is no task's call; see `contracts.reads`."""

    method: str
    params: bytes
    """As JSON."""


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
    remark: str = ""
    """Why the input was not checked; empty: it was, or nothing asks for that."""
    unlisted: tuple[tuple[str, str], ...] = ()
    """Tools that the host is not known to have, and how a call of each is refused: its session may
    have them all the same."""
    read: HostRead | None = None
    """In place of steps: it is nobody's attempt."""

    @property
    def replayable(self) -> bool:
        """Whether running this twice is harmless."""
        if self.read is not None:
            return True
        return replayable(self.host, self.type, self.steps[0].tool if self.literal else None)


def prepare(
    known: KnownHost,
    routed: TaskRouted,
    spec: TaskSpec,
    raw: bytes,
    permit: str,
    timeout_s: float | None = None,
    *,
    judged: bool = True,
    hidden: frozenset[str] = frozenset(),
) -> AttemptPlan:
    """Check the input and choose the steps. Raises BadInput.

    `timeout_s`: seconds that are left; without it, the limit of the whole attempt. `judged`: the
    input is held against its schema here, and not where the call is made. `hidden`: tools that are
    not there for whoever has asked.
    """
    data = _decode(raw)
    if not serves(known.host, spec.type):
        raise BadInput(f"host {known.host.id} does not serve task type {spec.type}")
    binding = known.host.task_types.get(spec.type)
    remark = ""
    if binding is not None:
        remark = misfit(known, spec.type, binding, data) if judged else ""
        steps = binding.steps
        if not steps and isinstance(known.host.endpoint, Stdio | StreamableHttp | OpenApi):
            raise BadInput(f"host {known.host.id} names no tool for task type {spec.type}")
    else:
        steps = (_direct(known.host, data, hidden),)
    unlisted = _check_tools(known, steps, hidden if binding is None else frozenset())
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
        remark=remark,
        unlisted=unlisted,
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


def misfit(known: KnownHost, task_type: str, binding: TaskBinding, data: Any) -> str:
    """Hold an input against its schema. Raises BadInput.

    The answer is a remark for a schema that can't be judged in bounded time; else it is empty.
    """
    if not binding.input_schema:
        return ""
    try:
        found = known.schema(task_type, binding.input_schema).misfit(data)
    except Invalid as broken:
        raise BadInput(
            f"host {known.host.id}: the input schema of {task_type} is wrong: {broken}"
        ) from None
    except Unjudged as open_:
        return f"the input was not checked: the schema of {task_type} can't be judged: {open_}"
    if found is not None:
        raise BadInput(f"input{found}"[:MESSAGE_BYTES])
    return ""


def _direct(host: Host, data: dict[str, Any], hidden: frozenset[str]) -> Step:
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
        names = ", ".join(name for name in allowed if name not in hidden) or "none"
        raise BadInput(f"input.tool: {MCP_CALL} may not call {tool!r} on {host.id}, only: {names}")
    return Step(tool, arguments)


def _check_tools(
    known: KnownHost, steps: tuple[Step, ...], hidden: frozenset[str]
) -> tuple[tuple[str, str], ...]:
    """See `AttemptPlan.unlisted`. Raises BadInput."""
    unlisted: dict[str, str] = {}
    for step in steps:
        if step.tool in hidden:
            raise BadInput(_no_tool(known, step.tool, hidden))
        if not known.tools:
            continue
        if step.tool not in known.tools:
            refusal = _no_tool(known, step.tool, hidden)
            if not isinstance(known.host.endpoint, Stdio | StreamableHttp):
                raise BadInput(refusal)
            unlisted[step.tool] = refusal
        elif known.tools[step.tool].needs_task:
            raise BadInput(
                f"tool {step.tool!r} of host {known.host.id} can be called as a task of MCP"
                " 2025-11-25 only (execution.taskSupport), which the orchestrator does not do"
            )
    return tuple(unlisted.items())


def _no_tool(known: KnownHost, tool: str, hidden: frozenset[str]) -> str:
    # Names that a user's host gives can be such that this takes minutes.
    given = known.tools.keys() - hidden if operated(known.host) else ()
    near = difflib.get_close_matches(tool, given, n=3, cutoff=0.5)
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    return f"host {known.host.id} has no tool {tool!r}.{hint}"
