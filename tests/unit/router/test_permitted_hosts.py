"""Hosts, task types and tools that are for some roles, users or projects alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.facts import TaskCreated, TaskRouted
from contracts.host import Access, Host, Stdio, TaskBinding, Tool
from contracts.task import TaskSpec
from services.router.recompute import recompute
from services.router.select import POLICY_VERSION
from services.router.settings import Settings
from tests.unit.router.world import World, host, one_end, one_route, ready

FEW = Access(roles=("admin",), users=("alice",), projects=("p1",))
WAYS: list[dict[str, Any]] = [
    {"user": "alice"},
    {"user": "bob", "roles": ("admin",)},
    {"user": "bob", "project": "p1"},
]
"""Each is enough."""
OTHERS: list[dict[str, Any]] = [
    {"user": "bob"},
    {"user": "bob", "roles": ("auditor",)},
    {"user": "bob", "project": "p2"},
]


def call(tool: str, **fields: Any) -> dict[str, Any]:
    given = msgspec.Raw(msgspec.json.encode({"tool": tool}))
    return {"spec": TaskSpec(type="mcp.call", input=given, **fields)}


def server(id_: str, **fields: Any) -> Host:
    return host(id_, endpoint=Stdio("x"), tools=(Tool("look"), Tool("erase")), **fields)


def submit(world: World, task: str = "t1", **fields: Any) -> None:
    """A task as the gateway writes it: with roles and project."""
    spec = fields.pop("spec", None) or TaskSpec(type="work", host=fields.pop("host", None))
    fields = {"user": "alice"} | fields
    world.put(TaskCreated(id=next(world.ids), by="gateway-1", task=task, spec=spec, **fields))


@pytest.mark.parametrize("who", WAYS)
def test_whom_a_host_is_for_gets_it(who: dict[str, Any]) -> None:
    world = ready(host("h", access=FEW))
    submit(world, **who)
    assert one_route(world).route.host == "h"


@pytest.mark.parametrize("who", OTHERS)
def test_to_all_others_it_is_not_there(who: dict[str, Any]) -> None:
    world = ready(host("h", access=FEW), host("other"))
    submit(world, **who)
    route = one_route(world).route
    assert (route.host, route.policy.version) == ("other", POLICY_VERSION)
    assert "h" not in {name for names in route.removed.values() for name in names}
    submit(world, "t2", host="h", **who)
    nowhere = ready(host("other"))
    submit(nowhere, "t2", host="h", **who)
    told, none = one_end(world).error, one_end(nowhere).error
    assert told == none, "as if there were none of this name"
    assert "host 'h' is not registered" in told.message


@pytest.mark.parametrize("who", OTHERS)
def test_a_task_type_that_is_for_others_is_explained(who: dict[str, Any]) -> None:
    types = {"work": TaskBinding(access=FEW), "free": TaskBinding()}
    world = ready(host("h", task_types=types), host("other"))
    submit(world, **who)
    route = one_route(world).route
    assert (route.host, route.removed) == ("other", {"not_permitted": ("h",)})
    submit(world, "t2", host="h", **who)
    assert "not_permitted" in one_end(world).error.message
    submit(world, "t3", spec=TaskSpec(type="free"), **who)
    assert one_route(world).route.host == "h"


@pytest.mark.parametrize("who", OTHERS)
def test_a_tool_that_is_for_others_is_not_called(who: dict[str, Any]) -> None:
    world = ready(server("h", tool_access={"erase": FEW}), server("other"))
    submit(world, **call("look", host="h"), **who)
    assert one_route(world).route.host == "h"
    submit(world, "t2", **call("erase"), **who)
    route = one_route(world).route
    assert (route.host, route.removed) == ("other", {"not_permitted": ("h",)})
    submit(world, "t3", **call("erase", host="h"), **who)
    assert "not_permitted" in one_end(world).error.message


def test_what_waits_is_looked_at_again_when_who_may_has_changed() -> None:
    world = ready(host("h", 1))
    for task, user in (("first", "bob"), ("second", "bob"), ("hers", "alice")):
        submit(world, task, user=user)
    assert one_route(world).task == "first"
    assert world.decide() == [], "the host is full"
    world.register(host("h", 1, access=FEW))
    end = one_end(world)
    assert (end.task, "no host" in end.error.message) == ("second", True)


def test_a_route_is_recomputed_with_who_asked() -> None:
    tools = server("tools", tool_access={"erase": FEW})
    world = ready(host("h", 9, access=FEW), host("other", 9), tools)
    for n, who in enumerate([*WAYS, *OTHERS]):
        submit(world, f"w{n}", **who)
        submit(world, f"c{n}", **call("look"), **who)
    routes = [fact for fact in world.run() if isinstance(fact, TaskRouted)]
    assert {fact.route.host for fact in routes} == {"h", "other", "tools"}
    for fact in routes:
        found, route = recompute(world.records, fact, Settings()), fact.route
        assert (found.host, found.candidates) == (route.host, route.candidates)
        assert found.removed == route.removed


def test_what_is_known_of_guards_is_the_same_after_a_restart_or_a_removal() -> None:
    world = ready(server("h", tool_access={"erase": FEW}), host("g", access=FEW))
    assert (world.state.guarded, world.state.tools_guarded) == ({"h", "g"}, 1)
    world.register(server("h", tool_access={"erase": FEW, "look": FEW}))
    assert world.state.tools_guarded == 1
    world.register(server("h"))
    world.remove("g")
    assert (world.state.guarded, world.state.tools_guarded) == (set(), 0)


def test_ones_own_host_has_the_name_of_one_that_is_not_there_for_one() -> None:
    mine = host("bob/h", owner="bob", source="command")
    world = ready(host("h", access=FEW), mine)
    submit(world, user="bob", host="h")
    assert one_route(world).route.host == "bob/h"
    submit(world, "t2", user="alice", host="h")
    assert one_route(world).route.host == "h"
