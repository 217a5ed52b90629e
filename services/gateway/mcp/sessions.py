"""Sessions of the older era of MCP, of which each user has a share, and who is told of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from mcp import MCPError
from mcp.server.auth.middleware.bearer_auth import authorization_context
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import ListenHandler, ServerEvent
from mcp_types import SubscriptionsListenRequestParams, SubscriptionsListenResult

from contracts.budget import BudgetOf
from contracts.permitted import Asker
from services.gateway.access.identity import Principal
from services.gateway.access.use import SOON_S, OverBudget
from services.gateway.mcp import lost
from services.gateway.mcp.catalogue import Catalogue, Chosen
from services.gateway.mcp.context import CHOSEN, Context, asker, chosen, is_modern, principal
from services.gateway.mcp.listening import ReadListening
from services.gateway.mcp.listens import TaskListens
from services.gateway.mcp.selection import choosing
from services.gateway.mcp.share import UserShares
from services.process import telemetry

IDLE_S = 600.0
MOST_LISTENS = 100
"""Streams of `subscriptions/listen` of one user at one gateway."""
asking: ContextVar[Principal] = ContextVar("asking")
"""Whose request is served."""
addressed: ContextVar[Chosen] = ContextVar("addressed")
"""What its address is about."""

log = telemetry.get_logger()


class DoorServer(Server[Any]):
    """The SDK's server, which says in both eras that the list of tools changes."""

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *more: Any, **others: Any
    ) -> InitializationOptions:
        """What a session begins with."""
        every = {f"{name}_changed": True for name in ("tools", "prompts", "resources")}
        options = notification_options or NotificationOptions(**every)
        return super().create_initialization_options(options, *more, **others)


class ListBus:
    """Where the SDK's streams of `subscriptions/listen` hear of changes, those of whoever asks."""

    def __init__(self, reads: ReadListening) -> None:
        self._reads = reads

    async def publish(self, event: ServerEvent) -> None:
        """Of the SDK's protocol; changes come from the catalogue alone."""

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Tell a stream, until what this returns is called."""
        who, key = asker(asking.get()), object()
        self._reads.follow(who, key, listener, addressed.get())
        return lambda: self._reads.forget(who, key)


class SharedListens(ListenHandler):
    """The SDK's streams of `subscriptions/listen`, of which each user has a share."""

    def __init__(self, reads: ReadListening, tasks: TaskListens, **options: Any) -> None:
        super().__init__(ListBus(reads), **options)
        self._reads = reads
        self._tasks = tasks
        self._shares = UserShares("streams of subscriptions/listen", "close some")

    async def __call__(
        self, ctx: Context, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve one stream. Raises MCPError."""
        try:
            with self._shares.one(principal(ctx), MOST_LISTENS):
                async with self._tasks.told(ctx, params) as telling:
                    return await self._served(telling, params)
        except OverBudget as over:
            raise MCPError(-32000, over.message, {"reason": str(over.reason)}) from None

    async def _served(
        self, ctx: Context, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """With what of the resources there is to be told of."""
        wanted = params.notifications
        if not wanted.resource_subscriptions:
            return await super().__call__(ctx, params)
        choosing.set(chosen(ctx))
        async with self._reads.held(ctx, wanted.resource_subscriptions) as held:
            told = wanted.model_copy(update={"resource_subscriptions": held})
            return await super().__call__(ctx, params.model_copy(update={"notifications": told}))


class _Told:
    """A session that has listed tools, and is told when the list changes."""

    def __init__(self, who: Asker, send: Any) -> None:
        self.who = who
        self.send = send
        self._telling: asyncio.Task[None] | None = None
        self._again = False

    def tell(self) -> None:
        """Say it, or once more when the session has taken what it was told last."""
        if self._telling is not None:
            self._again = True
            return
        self._telling = asyncio.create_task(self._tell())
        self._telling.add_done_callback(self._taken)

    def end(self) -> None:
        self._again = False
        if self._telling is not None:
            self._telling.cancel()

    async def _tell(self) -> None:
        try:
            await self.send()
        except Exception:
            log.exception("mcp_session_not_told")

    def _taken(self, _: asyncio.Task[None]) -> None:
        self._telling = None
        if self._again:
            self._again = False
            self.tell()


class DoorSessions(StreamableHTTPSessionManager):
    """The SDK's sessions, which alone knows when each of them is over."""

    def __init__(
        self,
        server: Server[Any],
        catalogue: Catalogue,
        budget_of: BudgetOf,
        reads: ReadListening,
        **options: Any,
    ) -> None:
        super().__init__(server, **options)
        self._catalogue = catalogue
        self._budget_of = budget_of
        self._told: dict[str, _Told] = {}
        self._reads = reads
        reads.alive = lambda session: session in self._server_instances
        self._ended = lost.EndedSessions()
        self._finding = asyncio.Lock()

    async def _handle_stateful_request(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request of the older era, in a session that may have to be begun again."""
        session, method = lost.named(scope), scope["method"]
        known = session in self._server_instances
        if session is not None and not known and method in ("GET", "POST"):
            await self._begin_again(session, scope)
        await super()._handle_stateful_request(scope, receive, send)
        over = known and session not in self._server_instances
        if session is not None and over and method == "DELETE":
            self._ended.add(session)

    async def _begin_again(self, session: str, scope: Any) -> None:
        """Begin a session that was lost, for whoever names it. Raises OverBudget."""
        async with self._finding:
            if session in self._server_instances or not self._ended.may_begin_again(session):
                return
            transport = self._admit_session(authorization_context(scope["user"]))
            if transport is None:
                return
            made = transport.mcp_session_id
            first, *more = lost.handshake(scope, made)
            await self._serve_opening_request(transport, *first, lost.unheard)
            for asked, receive in more:
                await transport.handle_request(asked, receive, lost.unheard)
            if made not in self._server_instances:
                return
            # Nobody finds it by its name before it is ready.
            self._server_instances[session] = self._server_instances.pop(made)
            self._session_owners[session] = self._session_owners.pop(made)
            transport.mcp_session_id = session
            log.info("mcp_session_begun_again", session=session)

    def listed(self, ctx: Context, who: Asker) -> None:
        """Somebody has listed tools: a session of theirs is told from now on when that changes."""
        assert ctx.request is not None
        session = ctx.request.headers.get(MCP_SESSION_ID_HEADER)
        if is_modern(ctx) or session not in self._server_instances:
            return
        known = self._told.get(session)
        if known is None or known.who != who:
            self._forget(session)
            known = self._told[session] = _Told(who, ctx.session.send_tool_list_changed)
        # Of the address that was listed last.
        self._catalogue.follow(who, session, known.tell, ctx.request.scope["state"][CHOSEN])

    def _forget(self, session: str) -> None:
        if (known := self._told.pop(session, None)) is not None:
            self._catalogue.forget(known.who, session)
            known.end()

    async def _discard_session(self, _: str, transport: Any) -> None:
        """Forget a session that is over, which may have got another name since it began."""
        session = transport.mcp_session_id
        self._forget(session)
        self._reads.over(session)
        await super()._discard_session(session, transport)

    def _admit_session(self, requestor: Any) -> Any:
        """Open a session. Raises OverBudget."""
        who = asking.get()
        most = self._budget_of(who.user).mcp_sessions
        mine = sum(owner == requestor for owner in self._session_owners.values())
        if mine >= most and not who.operator:
            raise OverBudget(
                f"budget mcp_sessions: {who.user} has {most} sessions open, the most there may be:"
                " end some (DELETE with their Mcp-Session-Id); they end by themselves after"
                f" {IDLE_S:g} s without a request",
                SOON_S,
            )
        return super()._admit_session(requestor)
