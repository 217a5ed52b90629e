"""What hosts say unasked of their prompts and resources, told to gateways.

A host that says so all the time is told of no more often than any other, and of a resource only as
long as somebody has subscribed to it in that session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import mcp_types
import msgspec
from mcp import MCPError
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.subscriptions import PromptsListChanged, ResourcesListChanged, ResourceUpdated
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from contracts import subjects
from contracts.reads import PROMPTS, RESOURCES, UPDATED, ReadsChanged
from services.executor.hosts.breakers import Publish
from services.process import telemetry

PAUSE_S = 1.0
"""Between two tellings."""
MOST_OF_SESSION = 200
"""Resources of which one session with a host tells."""
ACK_S = 10.0
"""How long a host may take to take a subscription."""

log = telemetry.get_logger()


class HostNews(NamedTuple):
    """What a host has said."""

    what: str
    uri: str = ""


Told = Callable[[HostNews], None]


def news_of(message: Any) -> HostNews | None:
    """What a message or an event says of prompts or resources; None: nothing."""
    match message:
        case mcp_types.PromptListChangedNotification() | PromptsListChanged():
            return HostNews(PROMPTS)
        case mcp_types.ResourceListChangedNotification() | ResourcesListChanged():
            return HostNews(RESOURCES)
        case mcp_types.ResourceUpdatedNotification(params=params):
            return HostNews(UPDATED, params.uri)
        case ResourceUpdated(uri=uri):
            return HostNews(UPDATED, uri)
        case _:
            return None


class Subscribed:
    """The resources of which the server of one session tells."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._uris: dict[str, asyncio.Task[None] | None] = {}
        """With the stream on which it is told, where each has its own."""

    def hear(self, message: Any) -> None:
        """Tell what it says, if somebody wants to know."""
        news = news_of(message)
        if news is not None and (news.what != UPDATED or news.uri in self._uris):
            self._told(news)

    async def add(self, client: Any, uri: str) -> dict[str, Any]:
        """Have it tell of a resource; once is enough. Raises MCPError."""
        if uri in self._uris:
            return {}
        if len(self._uris) >= MOST_OF_SESSION:
            text = f"{MOST_OF_SESSION} resources are subscribed to in this session already"
            raise MCPError(mcp_types.INTERNAL_ERROR, text)
        if client.session.protocol_version in MODERN_PROTOCOL_VERSIONS:
            ready = asyncio.get_running_loop().create_future()
            self._uris[uri] = asyncio.create_task(self._listen(client, uri, ready))
            try:
                async with asyncio.timeout(ACK_S):
                    await ready
            except BaseException:
                self._drop(uri)
                raise
            return {}
        self._uris[uri] = None
        try:
            await client.session.send_request(_asked("subscribe", uri), mcp_types.EmptyResult)
        except BaseException:
            self._uris.pop(uri, None)
            raise
        return {}

    async def remove(self, client: Any, uri: str) -> dict[str, Any]:
        """Have it tell no more. Raises MCPError."""
        if uri not in self._uris:
            return {}
        if not self._drop(uri):
            await client.session.send_request(_asked("unsubscribe", uri), mcp_types.EmptyResult)
        return {}

    def close(self) -> None:
        """The session is over."""
        for listening in self._uris.values():
            if listening is not None:
                listening.cancel()

    def _drop(self, uri: str) -> bool:
        """Forget one; the answer is whether it had a stream, which ends with this."""
        listening = self._uris.pop(uri, None)
        if listening is not None:
            listening.cancel()
        return listening is not None

    async def _listen(self, client: Any, uri: str, ready: asyncio.Future[None]) -> None:
        """Hear of one resource, where the server tells on a stream of its own."""
        try:
            async with client.listen(resource_subscriptions=(uri,)) as told:
                if not ready.done():
                    ready.set_result(None)
                async for event in told:
                    self.hear(event)
        except (MCPError, SubscriptionLost, TimeoutError) as error:
            if not ready.done():
                ready.set_exception(MCPError(mcp_types.INTERNAL_ERROR, str(error) or repr(error)))
        finally:
            if self._uris.get(uri) is asyncio.current_task():
                del self._uris[uri]
            ready.cancel()


def _asked(what: str, uri: str) -> Any:
    if what == "subscribe":
        return mcp_types.SubscribeRequest(params=mcp_types.SubscribeRequestParams(uri=uri))
    return mcp_types.UnsubscribeRequest(params=mcp_types.UnsubscribeRequestParams(uri=uri))


class ReadNews:
    """What is to be told."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._noted: dict[ReadsChanged, None] = {}
        self._some = asyncio.Event()

    def note(self, news: ReadsChanged) -> None:
        """Have this told soon."""
        self._noted[news] = None
        self._some.set()

    async def run(self, publish: Publish) -> None:
        """Tell, for ever; what gets lost is seen when a list is asked for again."""
        while True:
            await self._some.wait()
            self._some.clear()
            noted, self._noted = self._noted, {}
            for news in noted:
                try:
                    await publish(subjects.reads_changed(news.host), msgspec.json.encode(news))
                except Exception as error:
                    log.debug("reads_changed_not_sent", host=news.host, error=repr(error))
            await asyncio.sleep(self._pause_s)
