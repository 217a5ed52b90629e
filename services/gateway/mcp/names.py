"""The names by which agents call hosts' tools: such as every client takes, each for one tool. Pure.

Each tool answers to several names and is listed under the first of them that is its alone.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import mcp_types

from contracts.errors import Reason, Rejected
from contracts.host import Host, Tool
from services.gateway.mcp import search_tools
from services.gateway.mcp import tools as mcp_tools
from services.gateway.mcp.own_list import OWN
from services.gateway.mcp.selection import EVERYTHING, ToolChange, ToolChoice
from services.gateway.rows import HostView

SEPARATOR = "__"
LONGEST_NAME = 64
"""Characters of a name; among them no others than `A-Z a-z 0-9 _ -`."""
_DIGITS = 10
_READABLE = LONGEST_NAME - _DIGITS - 1
_FITS = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_NAME}}}")
_ALIAS = re.compile(rf".*_[0-9a-f]{{{_DIGITS}}}")
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
RESERVED = frozenset(tool.name for tool in (*OWN, *search_tools.TOOLS))
"""Names that no host's tool is called by."""

H = TypeVar("H", bound=Host)


def full(host: str, tool: str) -> str:
    """The name of a tool among those of many hosts, be it fit or not."""
    return _prefix(host) + tool


def may_be_of(name: str, host: str) -> bool:
    """Whether a name may be of this host, among those of many."""
    begin = _prefix(host)
    return name.startswith((begin, _UNFIT.sub("_", begin)[:_READABLE]))


@functools.lru_cache(maxsize=8192)
def alias(host: str, tool: str, name: str) -> str:
    """A fit name in the place of `name`, the same whatever else there is."""
    digest = hashlib.sha256(f"{host}\n{tool}".encode()).hexdigest()
    return f"{_UNFIT.sub('_', name)[:_READABLE]}_{digest[:_DIGITS]}"


def offered(found: Iterable[H], chosen: ToolChoice = EVERYTHING) -> dict[str, tuple[H, Tool]]:
    """All tools of a selection's hosts, by the names under which they are listed."""
    hosts = list(found)
    whose = _answering(hosts, chosen)
    given = {(one.host, one.tool): one.name for one in chosen.changes}
    every: dict[str, tuple[H, Tool]] = {}
    for host in hosts:
        for tool in host.tools:
            first = given.get((host.id, tool.name), "")
            for name in _candidates(host.id, tool.name, first, single=chosen.single):
                if whose.get(name) == (host.id, tool.name):
                    every.setdefault(name, (host, tool))
                    break
    return every


def listed(
    chosen: ToolChoice, found: Sequence[HostView], is_listed: Callable[[str], bool]
) -> dict[str, tuple[HostView, Tool]]:
    """Those of a selection's tools that agents are shown, by name; `found`: all hosts there are.

    Names are given to the others too: they are called as long as it is known what they are.
    """
    every = offered(chosen.narrowed(found), chosen)
    return {
        name: (host, tool)
        for name, (host, tool) in every.items()
        if mcp_tools.usable(host, tool) and is_listed(host.id)
    }


def row(name: str, host: HostView, tool: Tool, chosen: ToolChoice) -> mcp_types.Tool:
    """A tool of a selection as an agent sees it."""
    change = chosen.change(host.id, tool.name)
    return mcp_tools.listed(name, host, tool, "" if change is None else change.description)


def named(
    name: str, found: Iterable[Host], chosen: ToolChoice = EVERYTHING
) -> tuple[str, str] | None:
    """The host and tool of a name, the first of those that it may mean; None: there is none.

    Hosts that are down or need a moment count too. As the operator's stand before a user's own, no
    host of a user is called in place of one of theirs.
    """
    if name in RESERVED:
        return None
    hosts = list(found) if chosen.changes or chosen.single else found
    for change in chosen.changes:
        if change.name == name and _there(hosts, change.host, change.tool):
            return change.host, change.tool
    may_alias = _ALIAS.fullmatch(name) is not None
    if chosen.single:
        for host in hosts:
            if (tool := _answers(host, name, "", may_alias=may_alias)) is not None:
                return host.id, tool
    for host in hosts:
        begin = _prefix(host.id)
        if not may_alias and not name.startswith(begin):
            continue
        if (tool := _answers(host, name, begin, may_alias=may_alias)) is not None:
            return host.id, tool
    return None


def check_changes(changes: Iterable[ToolChange]) -> None:
    """Refuse names that can't be told apart. Raises Rejected(BAD_REQUEST)."""
    given, tools = set(RESERVED), set[tuple[str, str]]()
    for one in changes:
        if one.name in given:
            raise Rejected(Reason.BAD_REQUEST, f"changes: the name {one.name} is taken")
        if (one.host, one.tool) in tools:
            raise Rejected(Reason.BAD_REQUEST, f"changes: {one.host} {one.tool} is there twice")
        given |= {one.name} - {""}
        tools.add((one.host, one.tool))


def _answering(hosts: list[H], chosen: ToolChoice) -> dict[str, tuple[str, str]]:
    """What each name means, as `named` has it."""
    means = dict.fromkeys(RESERVED, ("", ""))
    for change in chosen.changes:
        if change.name and _there(hosts, change.host, change.tool):
            means.setdefault(change.name, (change.host, change.tool))
    ways = ((_own_names,) if chosen.single else ()) + (_full_names,)
    for names_of in ways:
        for host in hosts:
            # All that a host's tools are called before the aliases of any.
            for place in (0, 1):
                for tool in host.tools:
                    names = names_of(host.id, tool.name)
                    means.setdefault(names[place], (host.id, tool.name))
    return means


def _candidates(host: str, tool: str, first: str, *, single: bool) -> Iterator[str]:
    if first:
        yield first
    if single:
        # One that fits and is ours is better seen with its host than with an alias.
        yield next(filter(_FITS.fullmatch, _own_names(host, tool)))
    yield from filter(_FITS.fullmatch, _full_names(host, tool))


def _own_names(host: str, tool: str) -> tuple[str, str]:
    return tool, alias(host, tool, tool)


def _full_names(host: str, tool: str) -> tuple[str, str]:
    name = full(host, tool)
    return name, alias(host, tool, name)


def _answers(host: Host, name: str, begin: str, *, may_alias: bool) -> str | None:
    """The tool of this name, where the names of its host's begin so."""
    if name.startswith(begin) and _has(host, name.removeprefix(begin)):
        return name.removeprefix(begin)
    if not may_alias or not name.startswith(_UNFIT.sub("_", begin)[:_READABLE]):
        return None
    return next(
        (one.name for one in host.tools if alias(host.id, one.name, begin + one.name) == name), None
    )


def _there(hosts: Iterable[Host], host: str, tool: str) -> bool:
    return any(one.id == host and _has(one, tool) for one in hosts)


def _has(host: Host, tool: str) -> bool:
    return any(one.name == tool for one in host.tools)


def _prefix(host: str) -> str:
    """What the names of a host's tools begin with; no user and no host has a slash in it."""
    return host.replace("/", SEPARATOR) + SEPARATOR
