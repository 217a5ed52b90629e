"""Which hosts and tools an agent is shown, under which names and descriptions. Pure.

A selection never shows more than there is for whoever asks: it only leaves away.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Annotated, Literal, TypeVar

import msgspec

from contracts.approval import DESTRUCTIVE, destroys
from contracts.errors import Reason, Rejected
from contracts.host import Host, Tool

MOST_HOSTS = 100
"""Patterns of hosts in one selection."""
MOST_PATTERNS = 200
"""Patterns of one selection that are about tools, those of their hosts among them."""
MOST_CHANGES = 200
"""Tools that one profile gives another name or description."""
MOST_APPROVE = 100
"""Patterns of tools in one profile that a person has to allow."""
_LONGEST = 160
_REMEMBERED = 16_384

Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST)]
"""A name in which `*` stands for anything."""
OfHosts = dict[Pattern, tuple[Pattern, ...]]
ToolName = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[A-Za-z0-9_-]*(?![\s\S])")]
H = TypeVar("H", bound=Host)


class ToolChange(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Another name, description or both for one tool."""

    host: Pattern
    """The host's id."""
    tool: Pattern
    """The tool's name at the host."""
    name: ToolName = ""
    """Empty: as it is, like the next."""
    description: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is shown of what is there."""

    hosts: Annotated[tuple[Pattern, ...], msgspec.Meta(max_length=MOST_HOSTS)] = ()
    """Ids of hosts, with `*`; none: all."""
    only: OfHosts = {}
    """By ids of hosts, with `*`: of their tools only these, with `*`."""
    without: OfHosts = {}
    """By ids of hosts, with `*`: all of their tools but these, with `*`."""
    changes: Annotated[tuple[ToolChange, ...], msgspec.Meta(max_length=MOST_CHANGES)] = ()
    approve: Annotated[tuple[Pattern, ...], msgspec.Meta(max_length=MOST_APPROVE)] = ()
    """Tools, with `*`, of which each call has to be allowed by a person; `destructive`: those too
    of which their host does not say that they destroy nothing."""
    tools: Literal["all", "search"] = "all"
    """Whether `tools/list` has the tools of hosts, or what finds them."""

    @property
    def single(self) -> bool:
        """Whether it is about exactly one host, whose tools then have their own names."""
        return len(self.hosts) == 1 and "*" not in self.hosts[0]

    def may_have(self, host: str) -> bool:
        """Whether a host of this id may be in it, whatever others there are."""
        name = host.rpartition("/")[2]
        return not self.hosts or name in self.hosts or fits_any(host, self.hosts)

    def tools_of(self, host: H) -> tuple[Tool, ...]:
        """Those of a host's tools that are in it, if the host is."""
        if not self.only and not self.without:
            return host.tools
        only, without = _of(self.only, host.id), _of(self.without, host.id) or ()
        return tuple(
            tool
            for tool in host.tools
            if (only is None or fits_any(tool.name, only)) and not fits_any(tool.name, without)
        )

    def asks(self, host: Host, tool: str) -> bool:
        """Whether a person has to allow a call of this tool."""
        return fits_any(tool, self.approve) or (
            DESTRUCTIVE in self.approve and destroys(host, tool)
        )

    def narrowed(self, hosts: Sequence[H]) -> Sequence[H]:
        """What of these is in it."""
        if self.hosts:
            ids = {host.id for host in hosts}
            hosts = [host for host in hosts if self._has(host.id, ids)]
        if self.only or self.without:
            hosts = [msgspec.structs.replace(one, tools=self.tools_of(one)) for one in hosts]
        return hosts

    def change(self, host: str, tool: str) -> ToolChange | None:
        """What is otherwise with a tool."""
        return next((one for one in self.changes if (one.host, one.tool) == (host, tool)), None)

    def _has(self, host: str, ids: set[str]) -> bool:
        """As everywhere, a name alone means one's own host where the operator has none."""
        name = host.rpartition("/")[2]
        return fits_any(host, self.hosts) or (name in self.hosts and name not in ids)


EVERYTHING = ToolChoice()
NOTHING = ToolChoice(hosts=("-",))
"""No host is called so."""
choosing: ContextVar[ToolChoice] = ContextVar("choosing", default=EVERYTHING)
"""What the request that is served is about."""


def check_patterns(choice: ToolChoice) -> None:
    """Refuse more patterns than are looked through at each call. Raises Rejected(BAD_REQUEST)."""
    most = sum(1 + len(tools) for of in (choice.only, choice.without) for tools in of.values())
    if most > MOST_PATTERNS:
        text = f"only, without: {most} patterns, more than {MOST_PATTERNS}: say it with `*`"
        raise Rejected(Reason.BAD_REQUEST, text)


@functools.lru_cache(maxsize=_REMEMBERED)
def fits_any(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name fits one of these patterns, in which `*` stands for anything."""
    return any(_fits(name, pattern) for pattern in patterns)


def _fits(name: str, pattern: str) -> bool:
    """In a time that grows with their lengths only, whatever the pattern is."""
    begin, *parts = pattern.split("*")
    if not parts:
        return name == pattern
    if not name.startswith(begin):
        return False
    *middle, end = parts
    at = len(begin)
    for part in middle:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(name) - at >= len(end) and name.endswith(end)


def _of(patterns: Mapping[str, tuple[str, ...]], host: str) -> tuple[str, ...] | None:
    """What is said of a host, by all patterns that it fits; None: nothing."""
    fitting = [tools for pattern, tools in patterns.items() if _fits(host, pattern)]
    return tuple(tool for tools in fitting for tool in tools) if fitting else None
