"""Tool calls that name a host which is down: they wait a little, then fail with its reason."""

from __future__ import annotations

import pytest

from contracts.facts import FailureKind, JobDone, Outcome
from contracts.host import HealthStatus
from contracts.task import MCP_CALL
from services.router.settings import Settings
from tests.unit.router.world import World, host, one_end, one_route, ready, routes

GRACE = Settings().host_down_grace_s
REASON = "not started: Error: BRAVE_API_KEY is required"
CALL = {"type": MCP_CALL, "host": "a"}


def down() -> World:
    world = ready(host("a"), host("b"))
    world.health("a", HealthStatus.UNHEALTHY, REASON)
    return world


def test_a_call_of_a_host_that_stays_down_fails_once_and_says_why() -> None:
    world = down()
    world.later(1000)
    world.submit("t1", **CALL)
    assert world.run() == []
    world.later(GRACE - 0.1)
    assert world.run() == []
    assert world.plan is not None
    assert world.plan.sleep_s(world.moment, world.beats) == pytest.approx(0.1, abs=0.01)
    world.later(0.1)
    (end,) = world.run()
    assert isinstance(end, JobDone)
    assert (end.outcome, end.error.code) == (Outcome.FAILED, "host_down")
    assert f"host a is unhealthy: {REASON}." in end.error.message
    assert "deadline_s" in end.error.message
    world.later(1000)
    assert world.run() == [], "it is over"


def test_a_host_that_comes_back_in_time_serves_it() -> None:
    world = down()
    world.submit("t1", **CALL)
    world.later(GRACE - 1)
    assert world.run() == []
    world.health("a", HealthStatus.HEALTHY)
    assert one_route(world).route.host == "a"
    world.later(GRACE)
    assert world.run() == []


@pytest.mark.parametrize(
    "fields",
    [
        CALL | {"deadline_s": 100.0},
        {"type": "work", "host": "a"},
        {"type": MCP_CALL, "host": "c"},
    ],
)
def test_who_says_how_long_or_waits_for_a_turn_waits_on(fields: dict[str, object]) -> None:
    world = down()
    world.register(host("c", 1))
    world.submit("t0", type=MCP_CALL, host="c")
    world.run()
    world.submit("t1", **fields)
    world.later(GRACE * 3)
    assert world.run() == []


def test_a_queued_call_has_the_whole_time_from_when_its_host_went_down() -> None:
    world = ready(host("a", 1))
    world.submit("t0", **CALL)
    world.sign(one_route(world))
    world.submit("t1", **CALL)
    world.later(200)
    world.health("a", HealthStatus.UNHEALTHY, REASON)
    assert world.run() == []
    world.later(GRACE - 1)
    assert world.run() == []
    world.later(1)
    assert one_end(world).task == "t1"


def test_a_call_that_was_tried_waits_from_its_attempt_and_tells_of_it() -> None:
    world = ready(host("a"))
    world.submit("t1", **CALL)
    route = one_route(world)
    world.health("a", HealthStatus.UNHEALTHY, REASON)
    world.later(100)
    world.fail(route, FailureKind.UNREACHABLE)
    world.later(GRACE - 1)
    assert world.run() == []
    world.later(1)
    assert "Attempt 1 failed: it was unreachable" in one_end(world).error.message


def test_the_next_router_ends_it_at_the_same_time() -> None:
    world = down()
    world.submit("t1", **CALL)
    world.later(GRACE - 1)
    assert world.run() == []
    world.lead()
    assert world.run() == []
    world.later(1)
    first = world.decide()
    world.lead()
    second = world.decide()
    assert len(world.commit(first) + world.commit(second)) == 1, "the log takes one end"


def test_a_host_that_was_never_seen_is_said_to_be_that() -> None:
    world = ready()
    world.register(host("a"), healthy=False)
    world.submit("t1", **CALL)
    world.later(GRACE)
    assert "host a is not known to answer yet" in one_end(world).error.message


def test_a_host_that_is_disabled_for_a_while_ends_nothing_that_waits_for_it() -> None:
    off, on = host("a", 40, enabled=False), host("a", 40)
    world = ready(on)
    world.register(off, healthy=False)
    for n in range(30):
        world.submit(f"t{n}")
    assert world.run() == []
    world.later(600)
    assert world.run() == []
    world.register(on)
    assert len(routes(world.run())) == 30


def test_what_waits_for_a_disabled_host_is_over_at_its_deadline() -> None:
    world = ready(host("a", enabled=False))
    world.submit("t1", deadline_s=100.0)
    assert world.run() == []
    world.later(100)
    assert one_end(world).outcome is Outcome.TIMED_OUT


def test_a_disabled_host_that_can_not_serve_it_anyway_is_not_waited_for() -> None:
    world = ready(host("a", 1, "other", enabled=False), host("b", enabled=False))
    world.submit("t1", host="a")
    assert one_end(world).error.code == "no_host"


def test_a_call_of_a_disabled_host_fails_soon_and_says_so() -> None:
    world = ready(host("a"), host("b"))
    world.register(host("a", enabled=False), healthy=False)
    world.health("a", HealthStatus.UNKNOWN, "disabled: a command says so")
    world.submit("t1", **CALL)
    assert world.run() == []
    world.later(GRACE)
    end = one_end(world)
    assert end.error.code == "host_down"
    assert "disabled: a command says so" in end.error.message
