"""May a call be made again? What stands in the log has to be judged alike by everybody who asks."""

from __future__ import annotations

from typing import Literal

from contracts.facts import FailureKind
from contracts.host import Host
from contracts.task import MCP_CALL

UNKNOWN_OUTCOME = frozenset(
    {FailureKind.TIMEOUT, FailureKind.CUT, FailureKind.LOST, FailureKind.UNREACHABLE}
)
"""After these nobody knows whether the host did the work, unless it was never called; a host that
was unreachable has been called if that was the plan's second step or a later one."""


def replayable(host: Host, type_: str, tool: str | None = None) -> bool:
    """Tell whether running this task type twice on this host is harmless, as the host itself says.

    `never` of the host wins, then what the task type says, then `always`, then the hints of the
    tools: `tool` is the one that an `mcp.call` names; without it every tool that one may name has
    to be harmless. Of a tool that is not listed, and of a host without steps, nobody knows that.
    """
    binding = host.task_types.get(type_)
    if host.replay == "never":
        return False
    if binding is not None and binding.replayable is not None:
        return binding.replayable
    if host.replay == "always":
        return True
    harmless = {one.name for one in host.tools if one.read_only or one.idempotent}
    if binding is not None:
        names = {step.tool for step in binding.steps}
    else:
        names = _named(host, type_, tool)
    return bool(names) and names <= harmless


def outcome_unknown(kind: FailureKind, called: bool | None) -> bool:
    """Tell whether, after this failure, the host may have done the work."""
    return kind in UNKNOWN_OUTCOME and called is not False


def repeatable(
    kind: FailureKind,
    called: bool | None,
    *,
    replayable: bool,
    transient: bool,
    on_unknown: Literal["fail", "retry"],
    retry_tool_errors: bool,
) -> bool:
    """Judge whether the task may run again after this failure, however often it has run already.

    `replayable`: running it twice is harmless; `transient`: the host has said that the same call
    may succeed later. The other two are the task's own wishes.
    """
    match kind:
        case FailureKind.TOO_LARGE | FailureKind.FORBIDDEN_PATH | FailureKind.BAD_INPUT:
            return False
        case FailureKind.TOOL | FailureKind.PROTOCOL:
            return transient or retry_tool_errors
        case _:
            return not outcome_unknown(kind, called) or replayable or on_unknown == "retry"


def _named(host: Host, type_: str, tool: str | None) -> set[str]:
    """Tools that a task of a type without steps may call."""
    if type_ != MCP_CALL:
        return set()
    if tool is not None:
        return {tool}
    listed = {one.name for one in host.tools}
    return listed if host.callable_tools is None else listed & set(host.callable_tools)
