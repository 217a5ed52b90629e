"""Names of hosts' tools, and whose tool is called by one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import MCPError

from contracts.host import HealthStatus, Stdio, Tool
from services.gateway.mcp import names
from services.gateway.mcp.selection import ToolChange, ToolChoice
from services.gateway.rows import HostHealth, HostView
from tests.unit.gateway.mcp.test_door import agent, register
from tests.unit.gateway.world import World

FIT = re.compile(r"[A-Za-z0-9_-]{1,64}")


def serving(id_: str, *tools: str) -> HostView:
    well = HostHealth(HealthStatus.HEALTHY)
    found = tuple(Tool(name) for name in tools)
    return HostView(id=id_, name=id_, endpoint=Stdio("x"), tools=found, seq=1, health=well)


def test_names() -> None:
    found = [serving("a", "b", "b__c"), serving("a__b", "c", "d"), serving("al/h", "t")]
    assert names.named("a__b", found) == ("a", "b")
    assert names.named("a__b__c", found) == ("a", "b__c")
    assert names.named("a__b__d", found) == ("a__b", "d")
    assert names.named("al__h__t", found) == ("al/h", "t")
    for none in ("ab", "__b", "a__", "a__b__", "al/h__t", "h__t"):
        assert names.named(none, found) is None


def test_no_host_of_a_user_is_called_in_place_of_the_operators() -> None:
    """Of two tools of one name, the list shows and a call reaches the operator's."""
    operators = [serving("al", "h__t"), serving("al__h", "t")]
    for operators_ in (operators, operators[:1], operators[1:]):
        found = [*operators_, serving("al/h", "t")]
        (offered, _) = names.offered(found)["al__h__t"]
        meant = names.named("al__h__t", found)
        assert meant is not None
        assert offered.id == meant[0] == operators_[0].id


UNFIT = ["files.read", "gib ärger", "a/b", "x" * 65, "日本", "y" * 120, "a b", "\n"]


@pytest.mark.parametrize("tool", UNFIT)
def test_a_name_that_not_every_client_takes_has_an_alias(tool: str) -> None:
    alone = [serving("files", tool)]
    (name,) = names.offered(alone)
    assert FIT.fullmatch(name)
    assert name.startswith("files__")
    others = [serving("a", tool), *alone, serving("z", tool)]
    assert name in names.offered(others), "whatever else there is"
    assert names.named(name, others) == ("files", tool)
    assert names.named(f"files__{tool}", others) == ("files", tool), "as it was called before"
    chosen = ToolChoice(hosts=("files",))
    (own,) = names.offered(alone, chosen)
    assert FIT.fullmatch(own)
    assert names.named(own, alone, chosen) == ("files", tool)
    assert names.named(name, alone, chosen) == ("files", tool)


def test_an_alias_stays_what_it_is() -> None:
    """Agents write it down: it must be the same in the next release."""
    assert names.alias("files", "files.read", "files__files.read") == "files__files_read_c0b244de1c"


def test_both_of_two_tools_with_one_name_can_be_called() -> None:
    found = [serving("al", "h__t"), serving("al/h", "t")]
    offered = names.offered(found)
    assert len(offered) == 2
    assert {names.named(name, found) for name in offered} == {("al", "h__t"), ("al/h", "t")}


def test_the_tools_of_one_host_have_their_own_names() -> None:
    found = [serving("git", "log", "get_task", "find_tools", "a.b")]
    offered = names.offered(found, ToolChoice(hosts=("git",)))
    assert [tool.name for _, tool in offered.values()] == ["log", "get_task", "find_tools", "a.b"]
    assert list(offered)[:3] == ["log", "git__get_task", "git__find_tools"], "ours go before"
    assert names.named("get_task", found, ToolChoice(hosts=("git",))) is None
    assert "git__log" in names.offered(found, ToolChoice(hosts=("g*",)))


TOOLS = st.sampled_from(["t", "h__t", "a.t", "get_task", "x" * 70, "x" * 71, "a_t", "t__h"])
IDS = st.sampled_from(["a", "a__h", "a/h", "h", "a__h__t"])
HOSTS = st.dictionaries(IDS, st.lists(TOOLS, unique=True), max_size=4)
CHANGES = st.lists(st.builds(ToolChange, IDS, TOOLS, st.sampled_from(["t", "a__t", "n"])))


@given(HOSTS, st.sampled_from([(), ("a",), ("a/h",)]), CHANGES, st.booleans())
def test_each_name_of_the_list_calls_its_own_tool(
    tools: dict[str, list[str]], hosts: tuple[str, ...], changes: list[ToolChange], evil: bool
) -> None:
    """`evil`: somebody has named tools as the aliases of others are."""
    if evil:
        tools = {id_: [*of, *(names.alias(id_, t, t) for t in of)] for id_, of in tools.items()}
    chosen = ToolChoice(hosts=hosts, changes=tuple(changes))
    found = chosen.narrowed([serving(id_, *of) for id_, of in tools.items()])
    offered = names.offered(found, chosen)
    assert evil or len(offered) == sum(len(host.tools) for host in found), "none is left out"
    for name, (host, tool) in offered.items():
        assert FIT.fullmatch(name)
        assert name not in names.RESERVED
        assert names.named(name, found, chosen) == (host.id, tool.name)


async def test_ones_own_host_is_called_by_its_owner_and_name(gateway: World) -> None:
    await register(gateway, "alice/h1", owner="alice")
    await register(gateway, "bob/h1", owner="bob")
    async with agent(gateway) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert "alice__h1__echo" in listed
        assert "bob__h1__echo" not in listed
        with pytest.raises(MCPError, match="there is no tool"):
            await client.call_tool("bob__h1__echo", {"text": "hi"})
