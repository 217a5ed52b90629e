"""Tasks that wait for a person: to allow a tool, or to tell a host what it has asked."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest

from contracts.facts import FailureKind, Outcome
from contracts.host import Access, HealthStatus, Host, Stdio, Step, TaskBinding, Tool
from contracts.task import TaskSpec
from services.router.recompute import CannotRecompute, recompute
from services.router.settings import Settings
from services.router.state import Phase
from tests.unit.router import test_again
from tests.unit.router.world import World, host, one_end, one_question, one_route, ready, routes

TOOLS = (
    Tool("look", read_only=True),
    Tool("note", destructive=False),
    Tool("erase"),
    Tool("drop", read_only=False, destructive=True),
)


def server(id_: str = "h", *approve: str, **fields: Any) -> Host:
    known: dict[str, Any] = {"endpoint": Stdio("x"), "tools": TOOLS, "approve": approve}
    return host(id_, **known | fields)


def call(tool: str) -> dict[str, Any]:
    return {"type": "mcp.call", "input": msgspec.Raw(msgspec.json.encode({"tool": tool}))}


@pytest.mark.parametrize(
    ("approve", "asked"),
    [
        (("erase",), ["erase"]),
        (("e*", "lo?k"), ["erase", "look"]),
        (("destructive",), ["drop", "erase", "other"]),
        ((), []),
    ],
)
def test_a_host_says_which_tools_a_person_has_to_allow(
    approve: tuple[str, ...], asked: list[str]
) -> None:
    found = []
    for tool in ("drop", "erase", "look", "note", "other"):
        world = ready(server("h", *approve))
        world.submit("t1", **call(tool))
        world.run()
        found += [tool] if world.state.tasks["alice.t1"].phase is Phase.ASKED else []
    assert found == asked


def test_a_tool_that_is_not_known_is_asked_for() -> None:
    world = ready(server("h", "erase"))
    world.submit("t1", type="mcp.call", input=msgspec.Raw(b'{"tool":7}'))
    assert one_question(world).tool == ""
    world = ready(server("h", "erase", callable_tools=("look",)))
    world.submit("t1", type="mcp.call", input=msgspec.Raw(b'{"tool":7}'))
    assert one_route(world).route.host == "h"


def test_the_steps_of_a_task_type_are_asked_for_together() -> None:
    types = {"work": TaskBinding((Step("look"), Step("erase"), Step("drop"), Step("erase")))}
    world = ready(server("h", "destructive", task_types=types))
    world.submit("t1")
    asked = one_question(world)
    assert (asked.tool, asked.host) == ("erase, drop", "h")
    world.answer("t1")
    assert one_route(world).route.approved == 1


def test_a_call_is_routed_once_it_is_allowed_and_the_route_says_by_what() -> None:
    rules = Settings()
    world = ready(server("h", "erase", approvers=Access(roles=("admin",))))
    world.submit("t1", **call("erase"))
    asked = one_question(world)
    assert (asked.q, asked.attempt, asked.kind) == (1, 0, "approval")
    assert asked.approvers == Access(roles=("admin",))
    assert world.run() == []
    world.answer("t1")
    route = one_route(world)
    assert (route.attempt, route.route.host, route.route.approved) == (1, "h", 1)
    assert recompute(world.records, route, rules).host == "h"
    denied = [record for record in world.records if record.subject != "task.answered.alice.t1.1"]
    with pytest.raises(CannotRecompute, match="had to allow erase"):
        recompute(denied, route, rules)
    wrong = msgspec.structs.replace(route.route, approved=2)
    with pytest.raises(CannotRecompute, match="question 2"):
        recompute(world.records, msgspec.structs.replace(route, route=wrong), rules)


@pytest.mark.parametrize(
    ("action", "outcome", "code"),
    [("decline", Outcome.REJECTED, "declined"), ("cancel", Outcome.CANCELLED, "cancelled")],
)
def test_a_no_ends_the_task_and_says_whose(action: str, outcome: Outcome, code: str) -> None:
    world = ready(server("h", "erase"))
    world.submit("t1", **call("erase"))
    one_question(world)
    world.answer("t1", action, reason="not today")
    end = one_end(world)
    assert (end.outcome, end.error.code, end.attempt) == (outcome, code, 0)
    assert "bob" in end.error.message
    assert "erase" in end.error.message
    assert "not today" in end.error.message


def test_nobody_answers() -> None:
    world = ready(server("h", "erase"), rules=Settings(question_timeout_s=100))
    world.submit("t1", **call("erase"), deadline_s=5)
    one_question(world)
    assert world.plan.sleep_s(world.moment, world.beats) == pytest.approx(100)
    world.later(99.5)
    assert world.run() == [], "its deadline stands still"
    world.later(0.5)
    end = one_end(world)
    assert (end.outcome, end.error.code) == (Outcome.TIMED_OUT, "unanswered")
    assert "100 s" in end.error.message


def test_waiting_for_an_answer_takes_no_slot_and_no_time() -> None:
    world = ready(server("h", "erase", limits=host(slots=1).limits))
    for n in range(3):
        world.submit(f"t{n}", **call("erase"), deadline_s=50)
    world.run()
    world.submit("t9", **call("look"))
    first = one_route(world)
    assert first.task == "t9"
    assert world.state.flights.total == 1
    world.later(1000)
    world.answer("t0")
    world.later(40)
    assert world.run() == [], "the only slot is taken"
    world.succeed(first)
    route = one_route(world)
    assert route.task == "t0"
    assert route.route.expires == pytest.approx(world.moment.now + 10)


def test_a_cancelled_task_does_not_wait_for_its_answer() -> None:
    world = ready(server("h", "erase"))
    world.submit("t1", **call("erase"))
    one_question(world)
    world.cancel("t1")
    assert one_end(world).outcome == Outcome.CANCELLED


@pytest.mark.parametrize("action", ["accept", "decline"])
def test_an_answer_and_an_end_that_meet_are_put_in_order_by_the_log(action: str) -> None:
    world = ready(server("h", "erase"), rules=Settings(question_timeout_s=100))
    world.submit("t1", **call("erase"))
    one_question(world)
    world.later(100)
    decisions = world.decide()
    world.answer("t1", action)
    assert world.commit(decisions) == [], "somebody has answered"
    (fact,) = world.run()
    assert (fact.outcome if action == "decline" else fact.attempt) in (1, Outcome.REJECTED)


def test_a_yes_is_good_for_its_host_and_tool_alone() -> None:
    world = ready(server("a", "erase"), server("b", "erase"))
    world.prefer("alice", "b", 0.0)
    world.submit("t1", **call("erase"))
    assert one_question(world).host == "a"
    world.prefer("alice", "b", 1.0)
    world.prefer("alice", "a", 0.0)
    world.answer("t1")
    first = one_route(world)
    assert first.route.host == "a", "the one that was asked about"
    world.fail(first, FailureKind.UNREACHABLE)
    asked = one_question(world)
    assert (asked.q, asked.host, asked.attempt) == (2, "b", 1)
    world.answer("t1")
    again = one_route(world)
    assert (again.attempt, again.route.host, again.route.approved) == (2, "b", 2)


def test_a_retry_on_the_same_host_is_not_asked_for_again() -> None:
    world = ready(server("h", "erase"))
    world.submit("t1", **call("erase"))
    one_question(world)
    world.answer("t1")
    world.fail(one_route(world), FailureKind.UNREACHABLE)
    world.later(2)
    assert one_route(world).route.approved == 1


def test_where_nothing_has_to_be_allowed_any_more_it_goes_on() -> None:
    world = ready(server("h", "erase"))
    world.submit("t1", **call("erase"))
    one_question(world)
    world.remove("h")
    world.register(server("other"))
    assert world.run() == [], "the question stands"
    world.answer("t1")
    route = one_route(world).route
    assert (route.host, route.approved) == ("other", 0)


def test_the_host_that_was_asked_about_may_come_back() -> None:
    rules = Settings()
    world = ready(server("h", "erase"), rules=rules)
    world.submit("t1", **call("erase"))
    one_question(world)
    world.remove("h")
    world.register(server("z", limits=host(slots=1).limits))
    world.submit("t2", **call("look"))
    assert one_route(world).task == "t2"
    world.answer("t1")
    assert world.run() == [], "z is full"
    world.register(server("h", "erase"))
    route = one_route(world)
    assert (route.route.host, route.route.approved) == ("h", 1)
    assert recompute(world.records, route, rules).removed == route.route.removed


def test_a_new_router_goes_on_waiting() -> None:
    world = ready(server("h", "erase"))
    world.submit("t1", **call("erase"))
    one_question(world)
    world.later(10)
    world.lead()
    assert world.run() == []
    assert world.plan.sleep_s(world.moment, world.beats) == pytest.approx(86_390)
    world.health("h", HealthStatus.HEALTHY)
    world.answer("t1")
    assert len(routes(world.run())) == 1


def test_a_task_that_waits_costs_two_kilobytes_at_most() -> None:
    count = 1000
    world = ready(server("h", "erase"))
    spec = TaskSpec(**call("erase"))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        fill(world, count, spec)
        each = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
    waiting = [task for task in world.state.tasks.values() if task.phase is Phase.ASKED]
    assert len(waiting) == count
    assert world.decide() == []
    assert each <= 2048


def fill(world: World, count: int, spec: TaskSpec) -> None:
    """So many tasks that wait; their facts are not kept."""
    fields = msgspec.structs.asdict(spec)
    for n in range(count):
        world.submit(f"0198c0de-0000-7000-8000-{n:012d}", **fields)
    for decision in world.decide(count):
        world.put(decision.fact)
    world.records.clear()


@pytest.mark.parametrize(("approve", "approvers"), [((), None), (("erase",), ("admin",))])
def test_a_task_may_ask_for_approval_itself(
    approve: tuple[str, ...], approvers: tuple[str, ...] | None
) -> None:
    to = Access(roles=("admin",))
    world = ready(server("h", *approve, approvers=to))
    world.submit("t1", **call("erase"), approve=True)
    asked = one_question(world)
    assert (asked.tool, asked.host) == ("erase", "h")
    assert asked.approvers == (Access(roles=approvers) if approvers else None)
    assert world.run() == []
    world.answer("t1")
    route = one_route(world)
    assert route.route.approved == 1
    assert recompute(world.records, route, Settings()).host == "h"
    denied = [record for record in world.records if record.subject != "task.answered.alice.t1.1"]
    with pytest.raises(CannotRecompute, match="had to allow erase"):
        recompute(denied, route, Settings())


def test_such_a_task_asks_also_where_no_tool_is_known() -> None:
    world = ready(server("h", callable_tools=("look",)))
    world.submit("t1", type="mcp.call", input=msgspec.Raw(b'{"tool":7}'), approve=True)
    assert one_question(world).tool == ""


def test_a_task_that_asks_for_approval_gets_no_earlier_result() -> None:
    world = ready(test_again.server())
    test_again.call(world, "t1")
    test_again.succeed(world, one_route(world))
    test_again.call(world, "t2", approve=True)
    assert one_question(world).task == "t2"


def test_what_a_task_was_allowed_is_given_to_no_other() -> None:
    world = ready(test_again.server())
    test_again.call(world, "t1", approve=True)
    one_question(world)
    world.answer("t1")
    test_again.succeed(world, one_route(world))
    test_again.call(world, "t2")
    assert one_route(world).task == "t2"
