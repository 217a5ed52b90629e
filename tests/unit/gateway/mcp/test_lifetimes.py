"""Lists say how long they hold, for their user alone."""

from __future__ import annotations

from services.gateway.mcp.lifetimes import HINTS, LIST_MS, SELF_MS
from tests.unit.gateway.mcp.test_door import agent
from tests.unit.gateway.world import World


async def test_a_list_and_what_the_server_says_of_itself_hold_for_a_while(gateway: World) -> None:
    async with agent(gateway) as client:
        tools = await client.list_tools()
        found = await client.session.discover()
    assert (tools.ttl_ms, tools.cache_scope) == (LIST_MS, "private")
    assert (found.ttl_ms, found.cache_scope) == (SELF_MS, "private")


def test_nothing_may_be_shared_between_users() -> None:
    assert {hint.scope for hint in HINTS.values()} == {"private"}
