"""One gateway: everything behind the listening socket, and how it follows the log."""

from __future__ import annotations

from services.gateway import projection as tables
from services.gateway.access.identity import Identities, Identity, Principal
from services.gateway.access.limits import RateLimit
from services.gateway.actor import Desk
from services.gateway.app import Gateway
from services.gateway.http import misc
from services.gateway.http.events import Feeds
from services.gateway.http.linking import Linking
from services.gateway.http.parts import Parts
from services.gateway.mcp.door import McpDoor
from services.gateway.settings import Settings
from services.gateway.stream.connection import RESET, Streams
from services.gateway.stream.feed import Feed
from services.gateway.stream.history import History
from services.huggingface.hub import Hub as HuggingFace
from services.keys.accounts import Accounts
from services.log.port import Log
from services.log.projection import Projection, project
from services.store.blobs import Blobs

EVERYTHING = (">",)


class Site:
    """One gateway: everything behind the listening socket."""

    def __init__(
        self,
        log_: Log,
        blobs: Blobs,
        projection: Projection,
        known: Identity,
        accounts: Accounts,
        settings: Settings,
        instance: str = "gateway-1",
    ) -> None:
        self.log = log_
        self.projection = projection
        self.settings = settings
        self.hub = Feed(facts=settings.recent_facts, size=settings.recent_bytes)
        self.desk = Desk(log_, blobs, instance)
        self.parts = Parts(log_, self.desk, self.hub, projection, settings)
        self._known = Identities(self.parts.tokens, known)
        self.limit = RateLimit(settings.rate_limit_requests, settings.rate_limit_window_s)
        history = History(log_, self.hub, settings.history_readers, settings.queue_bytes)
        holds = self.parts.tokens.holds
        self.streams = Streams(self.hub, history, self.desk, self.authenticate, holds, settings)
        self.streams.epoch = log_.epoch
        self.feeds = Feeds(history)
        self.parts.tokens.on_gone += [self.streams.revoke, self.feeds.revoke]
        self.door = McpDoor(self.parts, misc.version())
        self.linking = Linking(
            accounts,
            HuggingFace(),
            self.parts.others,
            github_url=settings.github_url,
            kit=settings.space_kit,
        )
        self.app = Gateway(
            misc.build(self.parts, lambda: len(self.streams.connections), self.feeds, self.linking),
            self.door,
            self.streams,
            self.authenticate,
            self.limit,
            settings.allowed_origins,
        )

    async def authenticate(self, token: str) -> Principal | None:
        """Return whose a token or a one-time ticket is. Raises StoreError: not known now."""
        if principal := await self.parts.tickets.take(token):
            return principal if self.parts.tokens.holds(principal) else None
        if principal := self._known.of(token):
            return principal
        # Another gateway may have issued it a moment ago.
        await self.parts.tokens.look_for(token)
        return self._known.of(token)

    async def follow(self) -> None:
        """Feed hub and tables from the log, for ever."""
        self.hub.owners.update(await tables.owners(self.projection))
        self.hub.begin(self.projection.position)
        await project(
            self.log,
            self.projection,
            EVERYTHING,
            tables.apply,
            on_batch=self.hub.publish,
            on_reset=self._reset,
        )

    def _reset(self) -> None:
        self.hub.reset()
        self.streams.epoch = self.log.epoch
        self.streams.shut_all(RESET, "the log is another one: start over")
        self.feeds.end_all()
