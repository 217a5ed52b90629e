"""Who is told when hosts' prompts and resources are others, or one resource is.

A host says it in a session of its own; a gateway tells those who may see the host, and have asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
)

from contracts.errors import Rejected
from contracts.permitted import Asker
from contracts.reads import PROMPTS, RESOURCES, UPDATED, ReadsChanged
from services.gateway.mcp import uris
from services.gateway.mcp.catalogue import Catalogue, Chosen
from services.gateway.mcp.listings import HostLists
from services.process import telemetry

log = telemetry.get_logger()

TellEvent = Callable[[ServerEvent], None]
"""Takes an event, and returns at once."""


class _Listener(NamedTuple):
    who: Asker
    tell: TellEvent
    chosen: Chosen


class ReadFollowers:
    """Those who want to know, by the keys of their streams and sessions."""

    def __init__(self, catalogue: Catalogue, lists: HostLists) -> None:
        self._catalogue = catalogue
        self._lists = lists
        self._listeners: dict[object, _Listener] = {}

    def follow(self, who: Asker, key: object, tell: TellEvent, chosen: Chosen) -> None:
        """Have somebody told, until `forget`."""
        self._listeners[key] = _Listener(who, tell, chosen)

    def forget(self, key: object) -> None:
        """Tell them no more."""
        self._listeners.pop(key, None)

    def heard(self, payload: bytes) -> None:
        """Take a message on `reads.changed.*.*`."""
        try:
            news = msgspec.json.decode(payload, type=ReadsChanged)
        except msgspec.DecodeError:
            return
        if news.what != UPDATED:
            self._lists.forget(news.host)
        for one in list(self._listeners.values()):
            if news.user in ("", one.who.user) or news.what != UPDATED:
                for event in self._events(one, news):
                    one.tell(event)

    def _events(self, one: _Listener, news: ReadsChanged) -> list[ServerEvent]:
        """What this is to somebody; nothing, if the host is not there for them."""
        owner, slash, _ = news.host.partition("/")
        if slash and owner != one.who.user:
            return []
        try:
            choice = one.chosen()
        except Rejected:
            return []
        found = choice.narrowed(self._catalogue.of(one.who))
        if not any(host.id == news.host for host in found):
            return []
        match news.what:
            case what if what == PROMPTS:
                return [PromptsListChanged()]
            case what if what == RESOURCES:
                return [ResourcesListChanged()]
            case _:
                # Whoever has subscribed may have named it either way.
                own = [ResourceUpdated(news.uri)] if choice.single else []
                return [*own, ResourceUpdated(uris.ours(news.host, news.uri))]


class Telling:
    """Events on their way to a session of the older era: each once, in order."""

    def __init__(self, send: Callable[[ServerEvent], Awaitable[None]]) -> None:
        self._send = send
        self._left: dict[ServerEvent, None] = {}
        self._sending: asyncio.Task[None] | None = None

    def tell(self, event: ServerEvent) -> None:
        """Say it, or once more when the session has taken what it was told last."""
        self._left[event] = None
        if self._sending is None:
            self._sending = asyncio.create_task(self._all())

    def end(self) -> None:
        """Say nothing more."""
        self._left.clear()
        if self._sending is not None:
            self._sending.cancel()

    async def _all(self) -> None:
        try:
            while self._left:
                event = next(iter(self._left))
                del self._left[event]
                await self._send(event)
        except Exception:
            log.exception("mcp_session_not_told")
        finally:
            self._sending = None
