"""Names of hosts' tools, and whose tool is called by one."""

from __future__ import annotations

import pytest
from mcp import MCPError

from contracts.host import HealthStatus, Stdio, Tool
from services.gateway.mcp import tools as mcp_tools
from services.gateway.rows import HostHealth, HostView
from tests.unit.gateway.mcp.test_door import agent, register
from tests.unit.gateway.world import World


def serving(id_: str, *tools: str) -> HostView:
    well = HostHealth(HealthStatus.HEALTHY)
    found = tuple(Tool(name) for name in tools)
    return HostView(id=id_, name=id_, endpoint=Stdio("x"), tools=found, seq=1, health=well)


def test_names() -> None:
    found = [serving("a", "b", "b__c"), serving("a__b", "c", "d"), serving("al/h", "t")]
    assert mcp_tools.named("a__b", found) == ("a", "b")
    assert mcp_tools.named("a__b__c", found) == ("a", "b__c")
    assert mcp_tools.named("a__b__d", found) == ("a__b", "d")
    assert mcp_tools.named("al__h__t", found) == ("al/h", "t")
    for none in ("ab", "__b", "a__", "a__b__", "al/h__t", "h__t"):
        assert mcp_tools.named(none, found) is None


def test_no_host_of_a_user_is_called_in_place_of_the_operators() -> None:
    """Of two tools of one name, the list shows and a call reaches the operator's."""
    operators = [serving("al", "h__t"), serving("al__h", "t")]
    for operators_ in (operators, operators[:1], operators[1:]):
        found = [*operators_, serving("al/h", "t")]
        (offered, _) = mcp_tools.offered(found)["al__h__t"]
        meant = mcp_tools.named("al__h__t", found)
        assert meant is not None
        assert offered.id == meant[0] == operators_[0].id


async def test_ones_own_host_is_called_by_its_owner_and_name(gateway: World) -> None:
    await register(gateway, "alice/h1", owner="alice")
    await register(gateway, "bob/h1", owner="bob")
    async with agent(gateway) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert "alice__h1__echo" in names
        assert "bob__h1__echo" not in names
        with pytest.raises(MCPError, match="there is no tool"):
            await client.call_tool("bob__h1__echo", {"text": "hi"})
