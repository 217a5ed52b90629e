"""One gateway: everything behind the listening socket, and how it follows the log."""

from __future__ import annotations

from contracts import subjects
from services.bus.bus import Bus
from services.gateway import projection as tables
from services.gateway.access.identity import Identities, Identity, Principal
from services.gateway.access.limits import Exchange, RateLimit
from services.gateway.access.tickets import Tickets
from services.gateway.access.tokens import Tokens
from services.gateway.actor import Desk
from services.gateway.app import Gateway
from services.gateway.http import misc, routes
from services.gateway.http.events import EventStreams
from services.gateway.http.linking import Linking
from services.gateway.http.parts import Parts
from services.gateway.mcp.door import McpDoor
from services.gateway.peers import asked
from services.gateway.peers.asked import Others
from services.gateway.peers.checks import Checks, Executors
from services.gateway.peers.host_logs import HostLogs
from services.gateway.settings import Settings
from services.gateway.stream.connection import RESET, Streams
from services.gateway.stream.feed import Feed
from services.gateway.stream.history import History
from services.huggingface.hub import Hub
from services.keys.accounts import Accounts
from services.keys.vault import KeyFile
from services.log.port import Log
from services.log.projection import Projection, project
from services.store.blobs import Blobs
from services.store.kv import Bucket

EVERYTHING = (">",)
ROWS_S = 1.0
"""How long rows wait for others; lists that are asked for have them written at once."""


class Site:
    """One gateway: everything behind the listening socket."""

    def __init__(
        self,
        bus: Bus,
        log_: Log,
        projection: Projection,
        known: Identity,
        key: KeyFile,
        hub: Hub,
        settings: Settings,
        instance: str = "gateway-1",
    ) -> None:
        """`known`: whose tokens are that were not issued; `key`: seals linked accounts."""
        self.log = log_
        self.projection = projection
        self.settings = settings
        self.feed = Feed(facts=settings.recent_facts, size=settings.recent_bytes)
        self.desk = Desk(log_, Blobs(bus, limit=settings.blob_limit), instance)
        self.parts = _parts(bus, log_, self.desk, self.feed, projection, settings)
        tokens = self.parts.tokens
        self._known = Identities(tokens, known)
        self.limit = RateLimit(settings.rate_limit_requests, settings.rate_limit_window_s)
        self.exchange = Exchange(self.limit, Bucket(bus, subjects.LIMITS_BUCKET))
        history = History(log_, self.feed, settings.history_readers, settings.queue_bytes)
        whose, epoch = self.authenticate, log_.epoch
        self.streams = Streams(self.feed, history, self.desk, whose, tokens.holds, settings, epoch)
        self.event_streams = EventStreams(history)
        tokens.on_gone += [self.streams.revoke, self.event_streams.revoke]
        self.door = McpDoor(self.parts, misc.version())
        self.linking = Linking(
            Accounts(bus, key),
            hub,
            self.parts.others,
            github_url=settings.github_url,
            kit=settings.space_kit,
        )
        http = routes.build(
            self.parts, lambda: len(self.streams.connections), self.event_streams, self.linking
        )
        origins = settings.allowed_origins
        self.app = Gateway(http, self.door, self.streams, whose, self.limit, origins)

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
        """Fill the feed and the tables from the log, for ever."""
        self.feed.owners.update(await tables.owners(self.projection))
        self.feed.begin(self.projection.position)
        await project(
            self.log,
            self.projection,
            EVERYTHING,
            tables.apply,
            on_batch=self.feed.publish,
            on_reset=self._reset,
            gather_s=ROWS_S,
        )

    def _reset(self) -> None:
        self.feed.reset()
        self.streams.epoch = self.log.epoch
        self.streams.shut_all(RESET, "the log is another one: start over")
        self.event_streams.end_all()


def _parts(
    bus: Bus, log_: Log, desk: Desk, feed: Feed, projection: Projection, settings: Settings
) -> Parts:
    return Parts(
        log=log_,
        desk=desk,
        feed=feed,
        projection=projection,
        settings=settings,
        tickets=Tickets(Bucket(bus, subjects.TICKETS_BUCKET)),
        tokens=Tokens(Bucket(bus, subjects.TOKENS_BUCKET)),
        host_logs=HostLogs(bus),
        others=Others(asked.over(bus)),
        checks=Checks(log_, bus),
        executors=Executors(),
    )
