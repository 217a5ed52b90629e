"""The methods of the MCP server that are about hosts and are no calls: put together."""

from __future__ import annotations

from typing import Any

from mcp.shared.subscriptions import PromptsListChanged, ResourcesListChanged, ServerEvent

from services.gateway.mcp.completing import HostCompletion
from services.gateway.mcp.context import Context
from services.gateway.mcp.followers import ReadFollowers
from services.gateway.mcp.listening import ReadListening
from services.gateway.mcp.listings import HostLists
from services.gateway.mcp.prompts import HostPrompts
from services.gateway.mcp.reads import AgentReads, Handler, P, R, served
from services.gateway.mcp.resources import HostResources
from services.gateway.mcp.subscribing import HostSubscriptions
from services.gateway.mcp.views import AgentView
from services.gateway.peers.reads import HostReads


class ReadMethods:
    """Prompts, resources and completion."""

    def __init__(self, view: AgentView) -> None:
        reads = HostReads(view.parts.others)
        self.lists = HostLists(reads)
        agent = AgentReads(view, reads, self.lists)
        prompts, resources = HostPrompts(agent), HostResources(agent)
        self.followers = ReadFollowers(view.catalogue, self.lists)
        self._held = HostSubscriptions(reads)
        known = (view.catalogue, self.followers, self._held, resources)
        self.listening = ReadListening(*known)
        handlers: dict[str, Any] = {
            "on_list_prompts": self._noted(prompts.listed, PromptsListChanged()),
            "on_get_prompt": prompts.get,
            "on_list_resources": self._noted(resources.listed, ResourcesListChanged()),
            "on_list_resource_templates": resources.templates,
            "on_read_resource": resources.read,
            "on_subscribe_resource": self.listening.subscribe,
            "on_unsubscribe_resource": self.listening.unsubscribe,
            "on_completion": HostCompletion(agent, prompts, resources).complete,
        }
        trail = view.parts.trail
        self.handlers: dict[str, Any] = {
            name: served(trail, handler) for name, handler in handlers.items()
        }
        """By the names by which the SDK's server takes them."""

    def close(self) -> None:
        """Ask hosts nothing any more."""
        self.lists.close()
        self._held.close()

    def _noted(self, handler: Handler[P, R], event: ServerEvent) -> Handler[P, R]:
        """The same handler, whose session hears of this event from then on."""

        async def handled(ctx: Context, params: P) -> R:
            self.listening.listed(ctx, event)
            return await handler(ctx, params)

        return handled
