"""Who may see a host, and use which of its tools and task types, as the host says it. Pure.

Whoever may not use something does not see it: to them it does not exist.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

import msgspec

from contracts.host import Access, Host

EVERYBODY = "user"
"""The role that everybody has."""


class OpenAsk(Protocol):
    """Whatever knows for whom a task was asked for: `task.created`, or what is kept of it."""

    @property
    def user(self) -> str:
        """Whose task it is."""

    @property
    def roles(self) -> tuple[str, ...]:
        """See `task.created`."""

    @property
    def project(self) -> str:
        """See `task.created`."""


class Asker(NamedTuple):
    """For whom something is asked for."""

    user: str
    roles: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()


def asker_of(task: OpenAsk) -> Asker:
    """For whom a task was asked for."""
    return Asker(task.user, frozenset(task.roles), frozenset(filter(None, (task.project,))))


ANYBODY = Asker("")
"""Somebody of whom nothing is known: sees what everybody does."""

H = TypeVar("H", bound=Host)


def allows(access: Access | None, who: Asker) -> bool:
    """Whether this is for them: by one of their roles, their name, or a project."""
    return access is None or (
        EVERYBODY in access.roles
        or who.user in access.users
        or not who.roles.isdisjoint(access.roles)
        or not who.projects.isdisjoint(access.projects)
    )


def guarded(host: Host) -> bool:
    """Whether the host, or something of it, is not for everybody who may use the host."""
    return bool(
        host.access is not None
        or host.tool_access
        or any(binding.access is not None for binding in host.task_types.values())
    )


def may_run(host: Host, type_: str, tool: str | None, who: Asker) -> bool:
    """Whether they may have a task of this type run there; `tool`: of `mcp.call`, if it is known.

    What the steps of a task type call is the host's own affair.
    """
    binding = host.task_types.get(type_)
    return (
        allows(host.access, who)
        and (binding is None or allows(binding.access, who))
        and (tool is None or allows(host.tool_access.get(tool), who))
    )


def shown_to(host: H, who: Asker) -> H | None:
    """The host as they see it, without what is not for them; None: it is not there for them."""
    if not allows(host.access, who):
        return None
    return without_hidden(host, who) if guarded(host) else host


def without_hidden(host: H, who: Asker) -> H:
    """The host without tools and task types that are not for them."""
    hidden = {name for name, access in host.tool_access.items() if not allows(access, who)}
    named, probe = host.callable_tools, host.probe
    return msgspec.structs.replace(
        host,
        tools=tuple(tool for tool in host.tools if tool.name not in hidden),
        task_types={k: b for k, b in host.task_types.items() if allows(b.access, who)},
        callable_tools=None if named is None else tuple(t for t in named if t not in hidden),
        cache={k: v for k, v in host.cache.items() if k not in hidden},
        path_arguments={k: v for k, v in host.path_arguments.items() if k not in hidden},
        probe=msgspec.structs.replace(probe, tool=None) if probe.tool in hidden else probe,
    )
