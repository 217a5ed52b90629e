"""Nobody gets all of the executors' slots: what runs there may run for days."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import TaskRouted
from contracts.host import COMMAND, FOREIGN_CONCURRENCY, FOREIGN_TIMEOUT_S, Execute, Host, Limits
from contracts.wire import Beat
from services.router.recompute import recompute
from services.router.settings import Settings
from services.router.shares import AHEAD, Shares, shares
from tests.unit.router.world import World, host, one_route, ready, routes

WEEK_S = 604_800


def own(user: str, id_: str = "own", slots: int = 16, **fields: Any) -> Host:
    """A host that this user has registered."""
    known = {"owner": user, "source": COMMAND, "endpoint": Execute("https://example.org")}
    return host(f"{user}-{id_}", slots, f"{user}-work", **known | fields)


def with_slots(world: World, slots: int, executor: str = "executor-1") -> None:
    world.beats.hear(Beat(executor, "i1", slots=slots), world.moment.mono)


def flood(world: World, user: str, tasks: int, type_: str = "work", **fields: Any) -> None:
    for n in range(tasks):
        world.submit(f"{user}-{type_}-{n}", user, type=type_, timeout_s=WEEK_S, **fields)


def test_who_is_alone_leaves_slots_free_for_who_comes() -> None:
    world = ready(host("a", 1024))
    with_slots(world, 64)
    flood(world, "mallory", 140)
    assert len(routes(world.run())) == 56
    world.submit("hello", "alice")
    assert one_route(world).task == "hello"
    assert world.state.flights.total <= 64, "so an executor has a slot for it at once"


def test_a_host_that_never_answers_takes_a_quarter_of_the_slots() -> None:
    """The attack: a host of one's own, 140 tasks that may take a week."""
    world = ready(host("a", 1024), own("mallory", slots=1024), own("mallory", "other", 1024))
    with_slots(world, 64)
    flood(world, "mallory", 140, "mallory-work")
    stored = routes(world.run())
    assert len(stored) == 16
    assert {route.route.timeout_s for route in stored} == {FOREIGN_TIMEOUT_S}
    world.submit("hello", "alice")
    assert one_route(world).task == "hello"


def test_hosts_of_all_users_together_take_half_of_the_slots() -> None:
    users = [f"mallory-{n}" for n in range(10)]
    world = ready(host("a", 1024), *[own(user) for user in users])
    with_slots(world, 64)
    for user in users:
        flood(world, user, 40, f"{user}-work")
    stored = routes(world.run())
    assert len(stored) == 32
    assert max(Counter(route.user for route in stored).values()) <= 16
    flood(world, "alice", 20)
    assert len(routes(world.run())) == 20


def test_an_end_on_a_users_host_lets_another_user_go_on() -> None:
    users = [f"mallory-{n}" for n in range(3)]
    world = ready(*[own(user) for user in users])
    with_slots(world, 8)
    for user in users:
        flood(world, user, 8, f"{user}-work")
    stored = routes(world.run())
    assert len(stored) == 4
    for route in stored:
        world.sign(route)
        world.succeed(route)
        one_route(world)


def test_a_task_goes_to_the_operators_host_when_its_users_own_may_have_no_more() -> None:
    mine = own("alice", slots=16, task_types=host("x").task_types)
    world = ready(host("a", 1024), mine)
    with_slots(world, 16)
    world.prefer("alice", "a", 0.0)
    flood(world, "alice", 20)
    stored = routes(world.run())
    assert Counter(route.route.host for route in stored) == {"alice-own": 4, "a": 10}
    passed = [route for route in stored if route.route.no_foreign]
    assert {route.route.host for route in passed} == {"a"}
    assert {route.route.removed["share"] for route in passed} == {("alice-own",)}
    for route in stored:
        again = recompute(world.records, route, world.rules)
        assert (again.host, again.candidates, again.removed) == (
            route.route.host,
            route.route.candidates,
            route.route.removed,
        )


def test_two_who_flood_get_half_each_whoever_came_first() -> None:
    world = ready(host("a", 1024))
    with_slots(world, 16)
    flood(world, "mallory", 40)
    running = routes(world.run())
    assert len(running) == 14
    flood(world, "alice", 60)
    running += routes(world.run())
    assert world.state.flights.users == {"mallory": 14, "alice": 8}, "what runs stays"
    for _ in range(20):
        world.succeed(running.pop(0))
        running += routes(world.run())
    assert world.state.flights.users == {"mallory": 8, "alice": 8}
    for route in [route for route in running if route.user == "mallory"]:
        world.cancel(route.task, "mallory")
    for n in range(40):
        world.cancel(f"mallory-work-{n}", "mallory")
    world.run()
    assert world.state.flights.users["alice"] == 14


def test_what_nobody_else_has_a_use_for_is_not_left_idle() -> None:
    """Alice's tasks wait for a host that is full: that is no reason to hold anybody back."""
    world = ready(host("a", 1024), host("small", 1, "rare"))
    with_slots(world, 16)
    flood(world, "alice", 5, "rare")
    flood(world, "mallory", 40)
    world.run()
    assert world.state.flights.users == {"alice": 1, "mallory": 14}


def test_who_was_stopped_goes_on_when_another_executor_comes() -> None:
    world = ready(host("a", 1024), own("mallory"))
    with_slots(world, 4)
    flood(world, "alice", 40)
    flood(world, "mallory", 40, "mallory-work")
    world.run()
    assert world.state.flights.users == {"alice": 3, "mallory": 1}
    with_slots(world, 12, "executor-2")
    world.run()
    assert world.state.flights.users == {"alice": 14, "mallory": 4}


def test_an_older_registration_is_kept_to_the_bounds() -> None:
    huge = own("mallory", slots=1024)
    world = ready(huge)
    assert world.state.hosts[huge.id].spec.limits == Limits(max_concurrency=FOREIGN_CONCURRENCY)


@given(st.integers(0, 5000), st.integers(1, 1000), st.integers(1, 1000))
def test_shares_leave_something_to_others(slots: int, jobs: int, user: int) -> None:
    share = shares(slots, Settings(max_concurrent_jobs=jobs, max_per_user=user))
    assert share.all == min(jobs, AHEAD * slots)
    assert 1 <= share.contended <= share.alone <= user
    assert share.foreign_each <= share.foreign
    if slots > 1:
        assert max(share.alone, share.foreign) < slots
        assert share.contended <= slots / 2
        assert share.foreign <= slots / 2
    if slots > 3:
        assert share.foreign_each <= slots / 4


USERS = ("alice", "bob", "mallory")
SUBMISSION = st.tuples(
    st.sampled_from(USERS), st.booleans(), st.sampled_from(["high", "normal", "low"])
)


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
    st.lists(SUBMISSION, max_size=60),
    st.data(),
)
def test_shares_hold_whatever_is_submitted(
    executors: list[int], submissions: list[tuple[str, bool, str]], data: st.DataObject
) -> None:
    world = ready(host("a", 1024), *[own(user) for user in USERS])
    for n, slots in enumerate(executors):
        with_slots(world, slots, f"executor-{n + 1}")
    share = shares(sum(executors), world.rules)
    flying: list[TaskRouted] = []
    for n, (user, foreign, priority) in enumerate(submissions):
        type_ = f"{user}-work" if foreign else "work"
        world.submit(f"t{n}", user, type=type_, priority=priority)
        if data.draw(st.booleans()):
            flying += routes(world.run())
        if flying and data.draw(st.booleans()):
            world.succeed(flying.pop(data.draw(st.integers(0, len(flying) - 1))))
    flying += routes(world.run())
    counted = world.state.flights
    assert counted.total == len(flying) <= share.all
    assert all(count <= share.alone for count in counted.users.values())
    assert all(count <= share.foreign_each for count in counted.foreign.values())
    assert counted.foreign_total == sum(counted.foreign.values()) <= share.foreign
    for route in flying:
        again = recompute(world.records, route, world.rules)
        assert (again.host, again.removed) == (route.route.host, route.route.removed)
    if counted.total < share.all:
        _nobody_waits_in_vain(world, share)
    for route in list(flying):
        world.succeed(route)
        flying += routes(world.run())
    while flying := [
        route for route in flying if f"{route.user}.{route.task}" in world.state.tasks
    ]:
        for route in flying:
            world.succeed(route)
        flying = routes(world.run())
    assert not world.state.tasks, "whoever was stopped went on"


def _nobody_waits_in_vain(world: World, share: Shares) -> None:
    """Who waits for the operator's host, which has room, has all that one user may have: more, if
    nobody else waits for anything."""
    waiting = [task for task in world.state.tasks.values() if not task.host]
    users = {task.user for task in waiting}
    for user in {task.user for task in waiting if task.need.type == "work"}:
        most = share.contended if len(users) > 1 else share.alone
        assert world.state.flights.users.get(user, 0) >= most
