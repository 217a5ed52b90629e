"""Rounds: limits, turns, what is on its way, lost executors, clock jumps, a new term."""

from __future__ import annotations

from msgspec.structs import replace

from contracts.facts import FailureKind, JobDone, JobFailed, TaskRouted
from contracts.task import Priority
from contracts.wire import Beat
from services.router.beats import Beats
from services.router.plan import PAUSE_S
from services.router.settings import Settings
from services.router.shares import AHEAD
from tests.unit.router.world import host, one_end, one_route, ready, routes


def test_deciding_twice_adds_nothing() -> None:
    world = ready(host())
    world.submit("t1")
    world.submit("t2", invalid="no such thing")
    assert len(world.decide()) == 2
    assert world.decide() == []


def test_a_silent_executor_loses_its_attempts_to_another() -> None:
    world = ready(host("a"), host("b"))
    world.submit("t1", on_unknown="retry")
    world.sign(one_route(world), "executor-1/i1")
    world.later(3)
    world.later(4.9, beating="")
    assert world.run() == []
    world.later(0.2, beating="")
    lost, again = world.run()
    assert isinstance(lost, JobFailed)
    assert (lost.kind, lost.called, lost.retryable) == (FailureKind.LOST, None, False)
    assert isinstance(again, TaskRouted)
    assert again.route.host == "b"


def test_an_executor_that_came_back_has_lost_what_it_ran_before() -> None:
    world = ready(host("a"))
    world.submit("t1")
    world.submit("t2")
    old, new = routes(world.run())
    world.sign(old, "executor-1/i1")
    world.sign(new, "executor-1/i2")
    world.beat("executor-1/i2")
    world.beat("executor-1/i1")
    lost, end = world.run()
    assert (lost.task, lost.kind) == (old.task, FailureKind.LOST)
    assert (end.task, end.error.code) == (old.task, "outcome_unknown")
    assert world.state.tasks[f"alice.{new.task}"].phase == "running"


def test_silence_counts_only_while_the_router_listens() -> None:
    world = ready(host("a"))
    world.submit("t1")
    world.sign(one_route(world))
    world.beats.deafen()
    world.later(60, beating="")
    assert world.run() == []
    world.beats.listen(world.moment.mono)
    world.later(4.5, beating="")
    assert world.run() == []
    world.elapsed += 30
    world.beats.look(world.moment.mono)
    assert world.run() == [], "it was the router that was paused"
    world.later(5, beating="")
    assert world.run()[0].kind == FailureKind.LOST


def test_a_refused_route_frees_its_slot_for_another_task() -> None:
    world = ready(host("a", 1))
    world.submit("t1")
    world.submit("t2")
    (decision,) = world.decide()
    world.cancel(decision.fact.task)
    assert world.decide() == [], "its slot is taken until the route is folded or refused"
    world.plan.refused(decision.key, 1, world.moment)
    stored = world.run()
    assert {type(fact) for fact in stored} == {JobDone, TaskRouted}


def test_limits_of_users_and_of_the_whole_hold() -> None:
    rules = Settings(max_per_user=2, max_concurrent_jobs=3)
    world = ready(host("a", 10), rules=rules)
    for n in range(5):
        world.submit(f"a{n}", "alice")
        world.submit(f"b{n}", "bob")
    first = routes(world.run())
    assert sorted(route.user for route in first) == ["alice", "alice", "bob"]
    world.succeed(first[0])
    assert one_route(world).user == "bob"
    alices = [route for route in first[1:] if route.user == "alice"]
    world.succeed(alices[0])
    assert one_route(world).user == "alice"


def test_no_more_is_routed_than_executors_can_soon_run() -> None:
    world = ready(host("a", 100))
    for n in range(20):
        world.submit(f"t{n}", f"flood-{n % 10}")
    world.beats.hear(Beat("executor-1", "i1", slots=2), world.moment.mono)
    first, *_ = ahead = routes(world.run())
    assert len(ahead) == 2 * AHEAD
    world.submit("urgent", "alice", priority=Priority.HIGH)
    assert world.run() == []
    world.succeed(first)
    assert one_route(world).task == "urgent", "what waits here can still be overtaken"
    world.beats.hear(Beat("executor-2", "i1", slots=3), world.moment.mono)
    assert len(routes(world.run())) == 3 * AHEAD
    world.later(5, beating="")
    for route in ahead[1:]:
        world.succeed(route)
    assert world.run() == [], "no executor is there to run anything"
    world.beats.hear(Beat("executor-2", "i2", slots=30), world.moment.mono)
    assert len(routes(world.run())) == 20 - len(ahead) - 3 * AHEAD


def test_nothing_is_routed_before_an_executor_is_heard() -> None:
    """Else one user could fill the queue of those that are still to come."""
    world = ready(host("a", 100))
    world.beats = Beats(world.rules.lost_after_s)
    world.beats.listen(world.moment.mono)
    for n in range(40):
        world.submit(f"t{n}", "flood")
    assert world.run() == []
    world.beats.hear(Beat("executor-1", "i1", slots=16), world.moment.mono)
    assert len(routes(world.run())) == 14


def test_priority_decides_who_gets_the_slot() -> None:
    world = ready(host("a", 1))
    for task, priority in (("low", Priority.LOW), ("normal", Priority.NORMAL), ("high", "high")):
        world.submit(task, priority=Priority(priority))
    order = []
    for _ in range(3):
        route = one_route(world)
        order.append(route.task)
        world.succeed(route)
    assert order == ["high", "normal", "low"]


def test_success_history_and_said_preference_decide_between_equals() -> None:
    world = ready(host("a"), host("b"))
    world.submit("t1", max_attempts=1)
    route = one_route(world)
    assert route.route.host == "a"
    world.fail(route, FailureKind.TOOL, called=True)
    world.run()
    assert world.state.taste("alice", "a") == 2 / 3
    world.submit("t2")
    assert one_route(world).route.host == "b"
    world.submit("t3", "bob")
    world.prefer("bob", "b", 0.0)
    world.prefer("bob", "a", 0.2)
    assert one_route(world).route.host == "a"
    world.prefer("bob", "a", None)
    assert world.state.taste("bob", "a") == 1.0


def test_a_clock_jump_expires_nothing_and_new_tasks_keep_their_time() -> None:
    world = ready(host("a", 1))
    world.submit("t0")
    one_route(world)
    world.submit("t1", deadline_s=60)
    jump = world.moment.now + 3600
    created = world.submit("t2", deadline_s=30)
    assert world.clock.observe([(created.seq, jump)], world.moment.mono)
    created = world.records[-1] = replace(created, at=jump)
    world.state.tasks["alice.t2"].at = jump
    world.plan.begin(world.moment)
    world.later(29)
    assert world.run() == []
    world.later(1)
    assert one_end(world).task == "t2"
    world.later(30)
    assert one_end(world).task == "t1"


def test_a_new_plan_takes_up_where_the_old_one_was() -> None:
    world = ready(host("a", 2))
    for n in range(4):
        world.submit(f"t{n}", on_unknown="retry")
    first, second = routes(world.run())
    world.sign(first, "executor-9/i1")
    world.fail(second, FailureKind.UNREACHABLE)
    world.lead()
    assert one_route(world).task == "t2"
    world.later(6, beating="")
    lost = world.run()
    assert lost[0].kind == FailureKind.LOST


def test_a_flood_of_one_user_costs_a_round_nothing() -> None:
    world = ready(host("a", 1), host("b", 1, "other"))
    world.submit("first", "flood")
    one_route(world)
    for n in range(5000):
        world.submit(f"f{n}", "flood")
    assert world.run() == []
    calls = 0
    best = world.plan.queue.best

    def counted(now: float):
        nonlocal calls
        calls += 1
        return best(now)

    world.plan.queue.best = counted
    world.submit("o1", "alice", type="other")
    assert one_route(world).user == "alice"
    assert calls <= 4


def test_fifty_thousand_queued_tasks_of_one_user_do_not_delay_another_users_one() -> None:
    world = ready(host("a", 1))
    for n in range(50_000):
        world.submit(f"f{n}", "flood")
    running = one_route(world)
    world.submit("mine", "alice")
    assert world.run() == [], "the only slot is taken"
    world.succeed(running)
    mine = one_route(world)
    assert (mine.user, mine.task) == ("alice", "mine"), "the next free slot"
    world.succeed(mine)
    assert one_route(world).user == "flood"
    assert world.plan.waiting == 49_998


def test_a_user_at_the_limit_goes_on_when_an_attempt_ends() -> None:
    world = ready(host("a", 10), rules=Settings(max_per_user=1))
    world.submit("t1")
    world.submit("t2")
    first = one_route(world)
    assert world.run() == []
    world.succeed(first)
    assert one_route(world).task == "t2"


def test_a_host_of_ones_own_serves_what_was_queued_before_it_came() -> None:
    world = ready(host("a", 1))
    for n in range(3):
        world.submit(f"a{n}", "alice")
        world.submit(f"b{n}", "bob")
    one_route(world)
    world.register(host("own", 5, owner="bob"))
    assert {(route.user, route.route.host) for route in routes(world.run())} == {("bob", "own")}
    world.remove("own")
    assert world.run() == []
    assert world.state.owners == {}


def test_a_host_that_fails_twice_is_excluded_once() -> None:
    world = ready(host("a"))
    world.submit("t1")
    for _ in range(2):
        world.fail(one_route(world), FailureKind.UNREACHABLE)
        world.later(4)
    assert world.state.tasks["alice.t1"].excluded == ("a",)


def test_a_plan_is_over_when_another_term_begins() -> None:
    world = ready(host("a"))
    mine = world.plan
    assert not mine.over
    world.lead()
    assert mine.over
    assert not world.plan.over


def test_a_host_registered_again_leaves_its_owners_queue_alone() -> None:
    world = ready(host("own", 1, owner="alice"))
    seen: list[set[str]] = []
    world.watch = lambda changes: seen.append(changes.owners)
    world.register(host("own", 3, owner="alice"))
    assert set().union(*seen) == set()
    world.register(host("own", 3, owner="bob"))
    assert set().union(*seen) == {"alice", "bob"}
    assert world.state.owners == {"bob": 1}


def test_a_task_whose_fact_was_refused_rests_and_is_tried_again() -> None:
    world = ready(host("a", 1))
    world.submit("t1")
    world.submit("t2")
    (first,) = world.decide()
    world.plan.set_aside(first.key, world.moment)
    assert [fact.task for fact in routes(world.run())] == ["t2"], "its slot is free again"
    world.register(host("b", 1))
    world.later(PAUSE_S - 0.1)
    assert world.decide() == []
    world.later(0.1)
    assert [decision.key for decision in world.decide()] == [first.key]


def test_news_of_a_task_end_its_rest() -> None:
    world = ready(host("a", 1))
    world.submit("t1")
    (first,) = world.decide()
    world.plan.set_aside(first.key, world.moment)
    world.cancel("t1")
    assert one_end(world).outcome == "cancelled"
