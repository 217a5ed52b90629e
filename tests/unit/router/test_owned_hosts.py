"""Hosts with owners in their ids: what a bare name means, and hosts of old logs taken over."""

from __future__ import annotations

import msgspec
import pytest

from contracts.facts import FailureKind, McpRegistered, McpRemoved
from contracts.host import COMMAND, HealthStatus, Host
from services.router.recompute import recompute
from services.router.select import RECOMPUTED, Demand, HostEntry, Need, screen, why_nobody
from services.router.settings import Settings
from tests.unit.router.world import World, host, one_end, one_route, ready


def mine(name: str, user: str = "alice", **fields: object) -> Host:
    return host(f"{user}/{name}", owner=user, source=COMMAND, **fields)


def fits(named: str, user: str, *hosts: Host) -> list[str]:
    entries = [HostEntry(one, n, HealthStatus.HEALTHY) for n, one in enumerate(hosts, 1)]
    found = screen(Demand(Need("work", host=named), user), entries)
    return [fit.host for fit in found.fits]


def test_a_bare_name_is_the_operators_host_and_else_ones_own() -> None:
    both = host("h"), mine("h"), mine("h", "bob")
    assert fits("h", "alice", *both) == ["h"]
    assert fits("h", "alice", *both[1:]) == ["alice/h"]
    assert fits("alice/h", "alice", *both) == ["alice/h"]
    assert fits("alice/h", "bob", *both) == []
    assert fits("h", "carol", *both[1:]) == []
    # Who has no host shares a demand with all who have none.
    assert fits("h", "", *both[1:]) == []
    assert fits("h", "", *both) == ["h"]


def test_the_operators_host_stands_for_its_name_also_while_it_can_do_nothing() -> None:
    assert fits("h", "alice", host("h", enabled=False), mine("h")) == []
    # One that is for somebody else is not there for alice.
    assert fits("h", "alice", host("h", owner="bob"), mine("h")) == ["alice/h"]


def test_why_nobody_can_says_the_name_that_was_given() -> None:
    entries = [HostEntry(mine("h", capabilities=()), 1), HostEntry(host("x"), 2)]
    assert "host 'other' is not registered" in why_nobody(
        Demand(Need("work", host="other"), "alice"), entries
    )
    assert "host 'alice/h' can't serve task type 'rare'" in why_nobody(
        Demand(Need("rare", host="h"), "alice"), entries
    )


def test_a_task_waits_for_ones_own_host_and_ends_when_it_goes() -> None:
    world = ready(mine("h"), host("x"))
    world.submit("t1", host="h")
    assert one_route(world).route.host == "alice/h"
    world.submit("t2", user="bob", host="h")
    assert "host 'h' is not registered" in one_end(world).error.message


def adopt(world: World, was: str, user: str) -> None:
    """Take a host over, as today's registry does with an old log."""
    spec = world.state.hosts[was].spec
    new = msgspec.structs.replace(spec, id=f"{user}/{was}")
    registered = McpRegistered(
        id=next(world.ids), by="registry-1", host=new.id, k=next(world.k), spec=new, was=was
    )
    world.put(registered)
    world.health(new.id, HealthStatus.HEALTHY)
    world.put(McpRemoved(id=next(world.ids), by="registry-1", host=was, k=next(world.k)))


def old(name: str, user: str = "alice") -> Host:
    return host(name, owner=user, source=COMMAND)


def test_what_was_said_and_learned_of_an_old_id_holds_for_the_new_one() -> None:
    world = ready(old("h"), old("g", "bob"), host("x"))
    world.prefer("alice", "h", 0.25)
    world.prefer("carol", "h", 0.5)
    world.submit("t1", host="g", user="bob")
    world.sign(route := one_route(world))
    world.fail(route, FailureKind.TOOL)
    assert one_end(world).task == "t1"
    tried = world.state.tracks["bob", "g"]
    adopt(world, "h", "alice")
    adopt(world, "g", "bob")
    assert world.state.hosts.keys() == {"alice/h", "bob/g", "x"}
    assert world.state.taste("alice", "alice/h") == 0.25
    assert ("alice", "h") not in world.state.tastes
    assert world.state.tastes["carol", "h"] == 0.5, "it was never said of alice's"
    assert world.state.tracks == {("bob", "bob/g"): tried}
    assert world.state.owners == {"alice": 1, "bob": 1}


def test_tasks_that_name_the_old_id_go_on() -> None:
    world = ready(old("h"), host("x"))
    world.submit("before", host="h")
    route = one_route(world)
    assert route.route.host == "h"
    world.submit("waits", host="h", delay_s=10.0)
    adopt(world, "h", "alice")
    world.fail(route, FailureKind.HOST_GONE, called=False, retryable=True)
    world.later(30.0)
    found = [fact for fact in world.run() if fact.__struct_config__.tag == "task.routed"]
    assert {(fact.task, fact.route.host) for fact in found} == {  # type: ignore[union-attr]
        ("before", "alice/h"),
        ("waits", "alice/h"),
    }
    for fact in found:
        again = recompute(world.records, fact, world.rules)  # type: ignore[arg-type]
        assert again.host == "alice/h"


@pytest.mark.parametrize("version", sorted(RECOMPUTED))
def test_routes_of_earlier_rules_to_hosts_without_owners_come_out_again(version: int) -> None:
    world = ready(old("h"), host("x"))
    world.submit("t1", host="h")
    routed = one_route(world)
    adopt(world, "h", "alice")
    policy = msgspec.structs.replace(routed.route.policy, version=version)
    earlier = msgspec.structs.replace(
        routed, route=msgspec.structs.replace(routed.route, policy=policy)
    )
    assert recompute(world.records, earlier, Settings()).host == "h"
