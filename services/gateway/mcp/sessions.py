"""Sessions of the older era of MCP, of which each user has a share, and who is told of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import ServerEvent, ToolsListChanged

from contracts.budget import BudgetOf
from contracts.permitted import Asker
from services.gateway.access.identity import Principal
from services.gateway.access.use import SOON_S, OverBudget
from services.gateway.mcp.catalogue import Catalogue
from services.gateway.mcp.context import Context, asker, is_modern
from services.process import telemetry

IDLE_S = 600.0
asking: ContextVar[Principal] = ContextVar("asking")
"""Whose request is served."""

log = telemetry.get_logger()


class DoorServer(Server[Any]):
    """The SDK's server, which says in both eras that the list of tools changes."""

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *more: Any, **others: Any
    ) -> InitializationOptions:
        """What a session begins with."""
        options = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(options, *more, **others)


class ListBus:
    """Where the SDK's streams of `subscriptions/listen` hear of changes, those of whoever asks."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def publish(self, event: ServerEvent) -> None:
        """Of the SDK's protocol; changes come from the catalogue alone."""

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Tell a stream, until what this returns is called."""
        who, key = asker(asking.get()), object()
        self._catalogue.follow(who, key, lambda: listener(ToolsListChanged()))
        return lambda: self._catalogue.forget(who, key)


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
        self, server: Server[Any], catalogue: Catalogue, budget_of: BudgetOf, **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._catalogue = catalogue
        self._budget_of = budget_of
        self._told: dict[str, _Told] = {}

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
            self._catalogue.follow(who, session, known.tell)

    def _forget(self, session: str) -> None:
        if (known := self._told.pop(session, None)) is not None:
            self._catalogue.forget(known.who, session)
            known.end()

    async def _discard_session(self, session_id: str, transport: Any) -> None:
        """Forget a session that is over."""
        self._forget(session_id)
        await super()._discard_session(session_id, transport)

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
