"""Tasks that wait for what a host has asked: over its own state, or while it holds its call."""

from __future__ import annotations

import msgspec
import pytest

from contracts.facts import FailureKind, Outcome
from services.router.asks import MOST_QUESTIONS
from services.router.recompute import CannotRecompute, recompute
from services.router.settings import Settings
from services.router.state import Phase
from tests.unit.router.world import host, one_end, one_route, ready


def test_a_question_of_a_host_costs_no_attempt_and_goes_back_to_it() -> None:
    world = ready(host("a"), host("b"))
    world.submit("t1", max_attempts=1, deadline_s=60)
    route = one_route(world)
    world.sign(route)
    world.ask(route, timeout_s=500)
    task = world.state.tasks["alice.t1"]
    assert (task.phase, world.state.flights.total) == (Phase.ASKED, 0)
    assert world.state.tracks == {}, "no mark against the host"
    assert world.run() == []
    world.prefer("alice", route.route.host, 0.0)
    world.later(400)
    world.answer("t1", "decline")
    again = one_route(world)
    assert (again.attempt, again.route.host) == (2, route.route.host)
    assert (route.route.reply, again.route.reply) == (0, 1), "the call takes the answer along"
    assert recompute(world.records, again, world.rules).host == again.route.host
    wrong = msgspec.structs.replace(again.route, reply=0)
    with pytest.raises(CannotRecompute, match="question 0, not 1"):
        recompute(world.records, msgspec.structs.replace(again, route=wrong), world.rules)
    world.fail(again, FailureKind.UNREACHABLE)
    assert one_end(world).error.code == "unreachable", "this one counts"


def test_a_route_says_how_long_a_host_may_be_left_without_an_answer() -> None:
    world = ready(host("a"), rules=Settings(question_timeout_s=77))
    world.submit("t1")
    assert one_route(world).route.question_s == 77


def test_a_failure_whose_question_is_not_there_yet_is_waited_for() -> None:
    world = ready(host("a"))
    world.submit("t1", max_attempts=2)
    route = one_route(world)
    world.fail(route, FailureKind.INPUT_REQUIRED, called=True)
    assert world.run() == []
    world.later(world.rules.grace_s)
    assert one_route(world).attempt == 2


def test_a_host_that_holds_its_call_is_waited_for() -> None:
    world = ready(host("a"))
    world.submit("t1", deadline_s=20)
    route = one_route(world)
    world.sign(route, permit_s=20)
    world.hold(route, timeout_s=100)
    world.later(99)
    assert world.run() == []
    world.answer("t1")
    world.later(18)
    assert world.run() == []
    world.later(10)
    assert one_end(world).outcome == Outcome.TIMED_OUT


def test_a_held_call_takes_no_slot() -> None:
    world = ready(host("a", slots=1))
    world.submit("t1")
    world.submit("t2")
    route = one_route(world)
    world.sign(route)
    world.hold(route)
    assert (world.state.tasks["alice.t1"].phase, world.state.flights.total) == (Phase.HELD, 0)
    assert one_route(world).task == "t2"
    world.answer("t1")
    assert (world.state.tasks["alice.t1"].phase, world.state.flights.total) == (Phase.RUNNING, 2)
    world.submit("t3")
    assert world.run() == []
    world.succeed(route)
    assert world.run() == [], "the host has one slot, which t2 has"
    assert world.state.flights.total == 1


def test_a_held_call_whose_executor_is_lost_is_lost_and_no_answer_revives_it() -> None:
    world = ready(host("a"))
    world.submit("t1")
    route = one_route(world)
    world.sign(route)
    world.hold(route)
    world.later(world.rules.lost_after_s + 1, beating="")
    (lost,) = world.commit(world.decide())
    assert lost.kind == FailureKind.LOST
    world.answer("t1")
    end = one_end(world)
    assert (end.outcome, end.error.code) == (Outcome.FAILED, "outcome_unknown")


def test_a_held_call_that_is_lost_is_made_again_where_that_does_no_harm() -> None:
    world = ready(host("a"))
    world.submit("t1", on_unknown="retry")
    route = one_route(world)
    world.sign(route)
    world.hold(route)
    world.answer("t1")
    world.fail(route, FailureKind.LOST)
    world.later(10)
    again = one_route(world)
    assert (again.attempt, again.route.reply) == (2, 1), "the answer is not asked for again"


@pytest.mark.parametrize("silent", [False, True])
def test_nobody_answers_a_host_that_holds_its_call(silent: bool) -> None:
    world = ready(host("a"))
    world.submit("t1", on_unknown="retry")
    route = one_route(world)
    world.sign(route)
    world.hold(route, timeout_s=100)
    world.later(100)
    assert world.run() == []
    if silent:
        world.later(world.rules.grace_s)
    else:
        world.fail(route, FailureKind.TIMEOUT)
    end = one_end(world)
    assert (end.outcome, end.error.code) == (Outcome.TIMED_OUT, "unanswered")


def test_a_task_that_asks_for_ever_is_over() -> None:
    world = ready(host("a"))
    world.submit("t1")
    for _ in range(MOST_QUESTIONS):
        world.ask(one_route(world))
        world.answer("t1")
    world.ask(one_route(world))
    assert one_end(world).error.code == "questions"
