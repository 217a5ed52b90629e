"""Tells the registry that the tools of a host may be others than it knows: it looks at them then.

A host that says so all the time is told of no more often than any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mcp import Client, MCPError
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.subscriptions import ToolsListChanged
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from contracts import subjects
from services.executor.hosts.breakers import Publish
from services.process import telemetry

PAUSE_S = 5.0
"""Between two tellings."""

log = telemetry.get_logger()


async def listen(
    client: Client,
    changed: Callable[[], None],
    missed: Callable[[], Awaitable[bool]],
    hear: Callable[[object], None],
) -> None:
    """Have the server say when its tools, prompts or resources are others, for as long as it may.

    In the newer era it says so only to those who ask; see `subscriptions/listen` there. `missed`
    is asked once it listens: whether the tools have become others before. `hear` is called with
    what is not about tools.
    """
    has = client.server_capabilities
    lists = {"tools": has.tools, "prompts": has.prompts, "resources": has.resources}
    told_of: dict[str, Any] = {
        f"{name}_list_changed": True for name, one in lists.items() if one and one.list_changed
    }
    modern = client.session.protocol_version in MODERN_PROTOCOL_VERSIONS
    if not modern or not told_of:
        return
    try:
        async with client.listen(**told_of) as told:
            if "tools_list_changed" in told_of and await missed():
                changed()
            async for event in told:
                if isinstance(event, ToolsListChanged):
                    changed()
                else:
                    hear(event)
    except (MCPError, SubscriptionLost):
        pass
    except Exception as error:
        # What it would have said, the next probe finds.
        log.info("host_not_listened_to", error=repr(error))


class ToolChanges:
    """Hosts that are to be told of."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._noted: dict[str, None] = {}
        self._some = asyncio.Event()

    def note(self, host: str) -> None:
        """Have this host told of soon."""
        self._noted[host] = None
        self._some.set()

    async def run(self, publish: Publish) -> None:
        """Tell, for ever; what gets lost, the next probe finds."""
        while True:
            await self._some.wait()
            self._some.clear()
            hosts, self._noted = self._noted, {}
            for host in hosts:
                try:
                    await publish(subjects.tools_changed(host), b"")
                except Exception as error:
                    log.debug("tools_changed_not_sent", host=host, error=repr(error))
            await asyncio.sleep(self._pause_s)
