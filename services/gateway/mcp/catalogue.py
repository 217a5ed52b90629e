"""The hosts as the log has them, in memory: what agents may call, and when that has changed.

Folded once for everybody. Nobody asks again and again: whoever follows is told.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from mcp import MCPError
from mcp.shared.inbound import X_MCP_HEADER_KEY

from contracts import subjects
from contracts.errors import Rejected
from contracts.facts import McpHealth, McpRegistered, McpRemoved, Record, Unknown
from contracts.host import HealthStatus
from contracts.permitted import Asker, shown_to
from services.gateway.http.parts import hosts_for
from services.gateway.mcp import names
from services.gateway.mcp.selection import EVERYTHING, NOTHING, ToolChoice
from services.gateway.rows import HostHealth, HostView

USABLE = frozenset({HealthStatus.HEALTHY, HealthStatus.WARNING})
DOWN_S = 300.0
"""How long the tools of a host that is down stay listed: a call of them waits for it."""
KNOWN_S = 5.0
"""How long a call waits for what the tables hold."""
SETTLE_S = 1.0
"""A change is told so much later, with those that have come meanwhile."""
_MARK = f'"{X_MCP_HEADER_KEY}"'.encode()
_HOST_FACTS = frozenset({McpRegistered, McpRemoved, McpHealth, Unknown})
_NEVER = HostHealth(HealthStatus.UNKNOWN)


class _Entry(NamedTuple):
    """One host."""

    view: HostView
    down_since: float | None
    """By the log's time; none: it is usable."""
    listed: bool
    """Whether its tools are."""
    headers: dict[str, dict[str, Any]]
    """Schemas of its tools some of whose arguments have to stand in the headers as well."""


Tell = Callable[[], None]
"""Says that the list has changed; returns at once."""
Chosen = Callable[[], ToolChoice]
"""What somebody has chosen, as it is now. Raises Rejected: it is not there any more."""


class _Follower:
    """Somebody who follows the list, as far as they have chosen."""

    def __init__(self, tell: Tell, chosen: Chosen) -> None:
        self.tell = tell
        self._chosen = chosen
        self.choice = self.now()

    def now(self) -> ToolChoice:
        try:
            return self._chosen()
        except Rejected:
            return NOTHING


class Catalogue:
    """All hosts, and who follows which of their tools are listed."""

    def __init__(self, clock: Callable[[], float] = time.time, settle_s: float = SETTLE_S) -> None:
        self._clock = clock
        self._settle_s = settle_s
        self._entries: dict[str, _Entry] = {}
        self._order: list[str] = []
        self._annotated = 0
        self._before: dict[str, _Entry | None] = {}
        """How each host that has changed was when this was last told."""
        self._telling: asyncio.TimerHandle | None = None
        self._lapses: dict[str, asyncio.TimerHandle] = {}
        self._followers: dict[Asker, dict[object, _Follower]] = {}
        self.ready = asyncio.Event()
        """The hosts of the tables are here."""

    def restore(self, hosts: Iterable[HostView]) -> None:
        """Begin with what the tables have."""
        for host in hosts:
            since = None if host.health.status in USABLE else host.health.checked_at or 0.0
            self._put(host, since)
        self.ready.set()

    async def known(self) -> None:
        """Wait, not for long, until it is known which hosts there are. Raises MCPError."""
        try:
            async with asyncio.timeout(KNOWN_S):
                await self.ready.wait()
        except TimeoutError:
            text = "the gateway is still reading which hosts there are: try again"
            raise MCPError(-32000, text) from None

    def reset(self) -> None:
        """All is read again, or the log is another one."""
        self.ready.clear()
        for id_ in list(self._entries):
            self._drop(id_)

    def close(self) -> None:
        """Tell nobody any more."""
        for timer in (self._telling, *self._lapses.values()):
            if timer is not None:
                timer.cancel()

    def fold(self, records: Iterable[Record]) -> None:
        """Take facts of hosts."""
        for record in records:
            if type(record.fact) in _HOST_FACTS:
                self._fold(record)

    def of(self, who: Asker, *, listed: bool = False) -> list[HostView]:
        """The hosts for somebody, as users see them, the operator's first; only those whose tools
        are listed?"""
        found = [
            entry.view
            for entry in map(self._entries.__getitem__, self._order)
            if entry.view.owner in (None, who.user) and (entry.listed or not listed)
        ]
        return hosts_for(found, who)

    def every(self) -> list[HostView]:
        """All hosts, as the log has them, whoever may see them."""
        return [entry.view for entry in self._entries.values()]

    def is_listed(self, host: str) -> bool:
        """Whether the tools of a host are listed."""
        return self._entries[host].listed

    def in_headers(self, who: Asker, name: str, chosen: ToolChoice) -> dict[str, Any] | None:
        """The schema of a tool some of whose arguments have to stand in the headers as well."""
        if not self._annotated:
            return None
        meant = names.named(name, chosen.narrowed(self.of(who)), chosen)
        return None if meant is None else self._entries[meant[0]].headers.get(meant[1])

    def follow(
        self, who: Asker, key: object, tell: Tell, chosen: Chosen = lambda: EVERYTHING
    ) -> None:
        """Have somebody told, until `forget`; the key is that of a stream or session."""
        self._followers.setdefault(who, {})[key] = _Follower(tell, chosen)

    def choose_anew(self) -> None:
        """Tell those who have chosen something that is otherwise now."""
        for followers in list(self._followers.values()):
            for follower in list(followers.values()):
                if (now := follower.now()) != follower.choice:
                    follower.choice = now
                    follower.tell()

    def forget(self, who: Asker, key: object) -> None:
        """Tell them no more."""
        if followers := self._followers.get(who):
            followers.pop(key, None)
            if not followers:
                del self._followers[who]

    def _fold(self, record: Record) -> None:
        match record.fact:
            case McpRegistered(host=id_, spec=spec):
                known = self._entries.get(id_)
                health = known.view.health if known else _NEVER
                view = HostView(**msgspec.structs.asdict(spec), seq=record.seq, health=health)
                self._put(view, known.down_since if known else 0.0)
            case McpHealth(host=id_) as fact if known := self._entries.get(id_):
                health = HostHealth(fact.status, fact.reason, fact.latency_ms, record.at)
                since = None if fact.status in USABLE else known.down_since
                if since is None and fact.status not in USABLE:
                    since = record.at
                self._put(msgspec.structs.replace(known.view, health=health), since)
            case McpRemoved(host=id_):
                self._drop(id_)
            case Unknown(subject=subject):
                what = subjects.parse(subject)
                if what.type in ("mcp.registered", "mcp.removed"):
                    self._drop(what.host)
            case _:
                pass

    def _put(self, view: HostView, since: float | None) -> None:
        old = self._entries.get(view.id)
        left_s = 0.0 if since is None else since + DOWN_S - self._clock()
        if old is not None and old.view.tools is view.tools:
            headers = old.headers
        else:
            headers = _headers(view)
            self._annotated += bool(headers) - bool(old and old.headers)
        self._set(view.id, _Entry(view, since, since is None or left_s > 0, headers))
        if (timer := self._lapses.pop(view.id, None)) is not None:
            timer.cancel()
        if left_s > 0:
            loop = asyncio.get_running_loop()
            self._lapses[view.id] = loop.call_later(left_s, self._lapse, view.id)

    def _lapse(self, id_: str) -> None:
        """It has been down too long."""
        self._lapses.pop(id_, None)
        self._set(id_, self._entries[id_]._replace(listed=False))

    def _drop(self, id_: str) -> None:
        if (old := self._entries.get(id_)) is None:
            return
        self._annotated -= bool(old.headers)
        if (timer := self._lapses.pop(id_, None)) is not None:
            timer.cancel()
        self._set(id_, None)

    def _set(self, id_: str, entry: _Entry | None) -> None:
        old = self._entries.get(id_)
        if entry is None:
            del self._entries[id_]
        else:
            self._entries[id_] = entry
        if (old is None) != (entry is None):
            self._line_up(id_)
        if not self._followers:
            return
        self._before.setdefault(id_, old)
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(self._settle_s, self._tell)

    def _line_up(self, id_: str) -> None:
        """The operator's hosts come before those of users."""
        place = bisect_left(self._order, _place(id_), key=_place)
        if id_ in self._entries:
            self._order.insert(place, id_)
        else:
            del self._order[place]

    def _tell(self) -> None:
        """Tell those for whom something has changed."""
        before, self._before, self._telling = self._before, {}, None
        changed = [
            (old, new)
            for id_, old in before.items()
            if _listing(old) != _listing(new := self._entries.get(id_))
        ]
        for who, followers in list(self._followers.items()):
            seen = [(old, new) for old, new in changed if _seen(old, who) != _seen(new, who)]
            for follower in list(followers.values()) if seen else ():
                if any(_differ(old, new, who, follower.now()) for old, new in seen):
                    follower.tell()


def _place(id_: str) -> tuple[bool, str]:
    return "/" in id_, id_


def _headers(view: HostView) -> dict[str, dict[str, Any]]:
    return {
        tool.name: tool.input_schema
        for tool in view.tools
        if _MARK in msgspec.json.encode(tool.input_schema)
    }


def _listing(entry: _Entry | None) -> Any:
    """What of a host makes the list."""
    if entry is None or not entry.listed or not entry.view.enabled:
        return None
    view = entry.view
    return view.name, view.owner, view.access, view.tool_access, view.callable_tools, view.tools


def _seen(entry: _Entry | None, who: Asker, chosen: ToolChoice = EVERYTHING) -> Any:
    """The same for somebody, to whom some of it is not there."""
    if entry is None or entry.view.owner not in (None, who.user):
        return None
    shown = shown_to(entry.view, who)
    found = None if shown is None else _listing(entry._replace(view=shown))
    if found is None or not chosen.may_have(entry.view.id):
        return None
    name, *_, named, _ = found
    tools = chosen.tools_of(shown) if shown else ()
    return name, [tool for tool in tools if named is None or tool.name in named]


def _differ(old: _Entry | None, new: _Entry | None, who: Asker, chosen: ToolChoice) -> bool:
    """Whether a change makes another list of what somebody has chosen."""
    if chosen.tools == "search":
        return False
    return chosen is EVERYTHING or _seen(old, who, chosen) != _seen(new, who, chosen)
