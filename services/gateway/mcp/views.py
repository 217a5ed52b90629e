"""Tasks as an agent sees them: what `/mcp` shows of one, and which hosts there are for it."""

from __future__ import annotations

from collections.abc import Sequence

from mcp_types import CallToolResult

from contracts import scopes, wire
from contracts.status import TaskView
from services.gateway.access.identity import Principal
from services.gateway.http.parts import Parts
from services.gateway.mcp import tools as mcp_tools
from services.gateway.mcp.again import RepeatedCalls
from services.gateway.mcp.catalogue import Catalogue
from services.gateway.mcp.context import asker
from services.gateway.mcp.news import News
from services.gateway.mcp.seen import as_seen, check_seen, there
from services.gateway.mcp.selection import choosing
from services.gateway.rows import HostView
from services.gateway.stream.subscription import Subscription

ASKED = ("task.asked",)


class AgentView:
    """What agents see. Raises MCPError, InsufficientScope."""

    def __init__(self, parts: Parts, catalogue: Catalogue) -> None:
        self.parts = parts
        self.catalogue = catalogue
        self.again = RepeatedCalls()

    async def hosts(self, principal: Principal) -> Sequence[HostView]:
        """The hosts that are there for somebody's agent, as far as its request is about them."""
        await self.catalogue.known()
        # An agent works for its user, also for one who may see more.
        return choosing.get().narrowed(self.catalogue.of(asker(principal)))

    async def task(self, who: Principal, task: str, scope: str = scopes.TASKS_READ) -> TaskView:
        """The task, for who may see it."""
        view = await self.parts.desk.view(who.user, task)
        check_seen(who, view, scope)
        return there(view, task)

    async def shown(self, who: Principal, task: str, wait_s: float) -> CallToolResult:
        """The task as an answer, after at most `wait_s` seconds if it is not over, or when it asks
        something."""
        feed, news = self.parts.feed, News()
        waiter = feed.wait_for_end(who.user, task)
        asking = Subscription(news, wire.Subscribe(0, "mcp", "task", task, ASKED), who.user)
        feed.attach(asking)
        try:
            view = await self.task(who, task)
            if not view.over and wait_s:
                await news.wait(waiter.future, wait_s)
                self.parts.desk.remember(who.user, news.asked)
                view = await self.task(who, task)
        finally:
            feed.detach(asking)
            feed.forget(waiter)
        seen = as_seen(who, view)
        if view.over and seen is view:
            self.again.seen(view.user, view.id)
        return mcp_tools.said(await self.parts.waits.seen(seen))
