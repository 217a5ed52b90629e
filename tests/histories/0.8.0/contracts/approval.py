"""Which tools of a host a person has to allow before they are called, and who may. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase

from contracts.host import Access, Host
from contracts.permitted import Asker, allows

DESTRUCTIVE = "destructive"
"""In place of a pattern: every tool of which the host does not say that it destroys nothing."""
MOST_PATTERNS = 100
PATTERN_CHARS = 128


def to_approve(host: Host, type_: str, tool: str, *, every: bool = False) -> tuple[str, ...] | None:
    """The tools of a task of this type that a person has to allow; None: there are none.

    `tool`: the one that an `mcp.call` names. Where that is not known (empty), any that may be named
    counts, and the answer names none. Work of which no tool is known is held against the patterns
    by its type's name, and destroys as far as anybody knows. `every`: the task itself says that it
    has to be allowed, whatever the host says.
    """
    if not host.approve and not every:
        return None
    binding = host.task_types.get(type_)
    if binding is None and not tool:
        named = host.callable_tools
        open_ = every or named is None or any(_asks(host, name) for name in named)
        return () if open_ else None
    steps = binding.steps if binding is not None else ()
    names = [step.tool for step in steps] or [tool if binding is None else type_]
    return tuple(dict.fromkeys(name for name in names if every or _asks(host, name))) or None


def may_approve(approvers: Access | None, user: str, who: Asker, *, admin: bool) -> bool:
    """Whether they may answer for a task of this user."""
    if approvers is None:
        return admin or who.user == user
    return allows(approvers, who)


def _asks(host: Host, name: str) -> bool:
    for pattern in host.approve:
        if fnmatchcase(name, pattern) or (pattern == DESTRUCTIVE and destroys(host, name)):
            return True
    return False


def destroys(host: Host, name: str) -> bool:
    """As MCP has it: a tool may destroy unless it only reads, or says that it does not."""
    tool = next((one for one in host.tools if one.name == name), None)
    return tool is None or (tool.read_only is not True and tool.destructive is not False)
