"""Who listens for changes of hosts' prompts and resources, in both eras of the protocol.

In the older one a session hears of the lists that it has asked for, and of what it has subscribed
to; from 2026-07-28 on a stream of `subscriptions/listen` says what it is about.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from mcp import MCPError
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from mcp_types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)

from contracts.errors import Rejected
from contracts.permitted import Asker
from services.gateway.mcp.catalogue import Catalogue
from services.gateway.mcp.context import CHOSEN, Context, asker, is_modern, principal
from services.gateway.mcp.followers import ReadFollowers, TellEvent, Telling
from services.gateway.mcp.reads import UNAVAILABLE, gives
from services.gateway.mcp.resources import HostResources
from services.gateway.mcp.subscribing import HostSubscriptions, TooManyHeld
from services.gateway.peers.reads import HostRefused
from services.process import telemetry

log = telemetry.get_logger()

Named = tuple[str, str]
"""A host, and the URI as the host has it."""


class _Session:
    """A session of the older era."""

    def __init__(self, who: Asker, send: Any) -> None:
        self.who = who
        self.telling = Telling(send)
        self.lists: set[ServerEvent] = set()
        """Of these it wants to hear."""
        self.uris: dict[str, Named] = {}
        """What it has subscribed to, as it has named it."""

    def tell(self, event: ServerEvent) -> None:
        wanted = event.uri in self.uris if isinstance(event, ResourceUpdated) else None
        if event in self.lists if wanted is None else wanted:
            self.telling.tell(event)


class ReadListening:
    """Streams and sessions. Raises MCPError, Rejected."""

    def __init__(
        self,
        catalogue: Catalogue,
        followers: ReadFollowers,
        held: HostSubscriptions,
        resources: HostResources,
    ) -> None:
        self._catalogue = catalogue
        self._followers = followers
        self._held = held
        self._resources = resources
        self._sessions: dict[str, _Session] = {}
        self.alive: Callable[[str], bool] = lambda session: True
        """Whether there is a session of this id."""

    def follow(self, who: Asker, key: object, tell: TellEvent, chosen: Any) -> None:
        """Tell a stream of all lists, until `forget`."""

        def every() -> None:
            for event in (ToolsListChanged(), PromptsListChanged(), ResourcesListChanged()):
                tell(event)

        self._catalogue.follow(who, key, every, chosen)
        self._followers.follow(who, key, tell, chosen)

    def forget(self, who: Asker, key: object) -> None:
        """Tell it no more."""
        self._catalogue.forget(who, key)
        self._followers.forget(key)

    def listed(self, ctx: Context, event: ServerEvent) -> None:
        """Somebody has asked for a list: a session of theirs is told when that changes."""
        if (found := self._session(ctx)) is not None:
            found.lists.add(event)

    async def subscribe(self, ctx: Context, params: SubscribeRequestParams) -> EmptyResult:
        """`resources/subscribe`."""
        found = self._session(ctx)
        if found is None:
            raise MCPError(INVALID_PARAMS, "there is no session that could be told of changes")
        if params.uri not in found.uris:
            named = await self._hold(ctx, params.uri)
            if params.uri in found.uris or self._sessions.get(_id(ctx)) is not found:
                self._held.remove(principal(ctx).user, *named)
            else:
                found.uris[params.uri] = named
        return EmptyResult()

    async def unsubscribe(self, ctx: Context, params: UnsubscribeRequestParams) -> EmptyResult:
        """`resources/unsubscribe`."""
        found = self._session(ctx)
        if found is not None and (named := found.uris.pop(params.uri, None)) is not None:
            self._held.remove(found.who.user, *named)
        return EmptyResult()

    @contextlib.asynccontextmanager
    async def held(self, ctx: Context, uris: Sequence[str]) -> AsyncIterator[list[str]]:
        """Subscribe for a stream; the answer is what of it is there to be told of."""
        named: dict[str, Named] = {}

        async def hold(uri: str) -> None:
            try:
                named[uri] = await self._hold(ctx, uri)
            except (MCPError, Rejected) as error:
                log.info("resource_not_subscribed", uri=uri[:200], error=str(error))

        try:
            await asyncio.gather(*map(hold, dict.fromkeys(uris)))
            yield list(named)
        finally:
            for one in named.values():
                self._held.remove(principal(ctx).user, *one)

    def over(self, session: str) -> None:
        """A session of the older era is over."""
        if (found := self._sessions.pop(session, None)) is not None:
            found.telling.end()
            self.forget(found.who, (session,))
            for named in found.uris.values():
                self._held.remove(found.who.user, *named)

    async def _hold(self, ctx: Context, uri: str) -> Named:
        """Subscribe to a resource. Raises MCPError, Rejected."""
        host, own = await self._resources.meant(ctx, uri)
        if not gives(host, "subscriptions"):
            text = f"host {host.id} does not tell of changes of its resources"
            raise MCPError(INVALID_PARAMS, text, {"uri": uri[:2000]})
        try:
            await self._held.add(principal(ctx).user, host, own)
        except TooManyHeld as many:
            raise MCPError(UNAVAILABLE, str(many)) from None
        except HostRefused as refused:
            raise MCPError(refused.code, refused.message, refused.data) from None
        return host.id, own

    def _session(self, ctx: Context) -> _Session | None:
        """The session of a request of the older era, which is followed from now on."""
        session = _id(ctx)
        if is_modern(ctx) or not session or not self.alive(session):
            return None
        who = asker(principal(ctx))
        known = self._sessions.get(session)
        if known is None or known.who != who:
            self.over(session)
            known = self._sessions[session] = _Session(who, _sending(ctx.session))
        assert ctx.request is not None
        # Of the address that was asked for last.
        self.follow(who, (session,), known.tell, ctx.request.scope["state"][CHOSEN])
        return known


def _id(ctx: Context) -> str:
    assert ctx.request is not None
    return ctx.request.headers.get(MCP_SESSION_ID_HEADER) or ""


def _sending(session: Any) -> Any:
    async def send(event: ServerEvent) -> None:
        match event:
            case PromptsListChanged():
                await session.send_prompt_list_changed()
            case ResourcesListChanged():
                await session.send_resource_list_changed()
            case ResourceUpdated(uri=uri):
                await session.send_resource_updated(uri)
            case _:
                pass

    return send
