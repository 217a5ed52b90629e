"""Results that are given again: to whom, for how long, and when it is work after all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from contracts import status
from contracts.facts import (
    FailureKind,
    JobDone,
    Outcome,
    ResultDeleted,
    ResultStored,
    TaskAsked,
    TaskRouted,
    encode,
)
from contracts.host import (
    Access,
    Cache,
    Capability,
    HealthStatus,
    Host,
    Stdio,
    Step,
    StreamableHttp,
    TaskBinding,
    Tool,
)
from contracts.result import Pointer, Result, inline
from contracts.task import canonical
from services.router import answers
from services.router.settings import Settings
from tests.unit.router.world import World, ends, host, one_end, one_route, ready, routes

ANSWER = inline(b'{"found":1}')
BLOB = Pointer("nats://blobs/alice/aa", "aa" * 32, 100_000)
DATASET = Pointer("hf://datasets/alice/r@" + "0" * 40 + "/results/aa", "aa" * 32, 100_000)
HOUR = {"look": Cache(3600)}
ALL = {"look": Cache(3600, "all")}


def server(id_: str = "h", slots: int = 2, **fields: Any) -> Host:
    known: dict[str, Any] = {"cache": HOUR, "tools": (Tool("look"), Tool("write")), "server": "s 1"}
    return host(id_, slots, **{"endpoint": Stdio("x")} | known | fields)


def call(world: World, task: str, user: str = "alice", **fields: Any) -> None:
    given = {"tool": fields.pop("tool", "look"), "arguments": fields.pop("arguments", {"q": 1})}
    fields = {"host": "h"} | fields
    world.submit(task, user, type="mcp.call", input=msgspec.Raw(canonical(given)), **fields)


def succeed(world: World, route: TaskRouted, result: Result = ANSWER) -> None:
    """As an executor ends it."""
    world.sign(route)
    fact = JobDone(
        id=next(world.ids),
        by="executor-1",
        user=route.user,
        task=route.task,
        outcome=Outcome.SUCCEEDED,
        attempt=route.attempt,
        host=route.route.host,
        input_sha256=route.route.input_sha256,
        result=result,
        remarks=("two files were left out",),
    )
    world.put(fact)


def answered(spec: Host | None = None, result: Result = ANSWER, **fields: Any) -> World:
    """Alice's `t1` was done on `h`."""
    world = ready(spec or server())
    call(world, "t1", **fields)
    succeed(world, one_route(world), result)
    return world


def deleted(task: str) -> Callable[[World], None]:
    fact = ResultDeleted(id="d", by="results-1", user="alice", task=task, reason="asked for")
    return lambda world: world.put(fact) and None


def test_the_same_question_gets_the_earlier_answer_and_no_host() -> None:
    world = answered()
    call(world, "t2")
    (decision,) = world.decide()
    assert decision.guard == ("job.*.alice.t2.*", 0), "as for every end that the router writes"
    (end,) = ends(world.commit([decision]))
    assert (end.from_, end.outcome, end.attempt, end.host) == ("t1", "succeeded", 0, "")
    assert (end.result, end.remarks) == (ANSWER, ("two files were left out",))
    assert end.earlier is not None
    assert world.records[end.earlier.seq - 1].fact.task == "t1"
    assert world.state.flights.total == 0
    assert world.state.tracks["alice", "h"].tried == 1, "the host has done it once"
    view = status.fold([r for r in world.records if getattr(r.fact, "task", "") == "t2"])
    assert view is not None
    assert (view.status, view.from_, view.host, view.attempt) == ("succeeded", "t1", "h", 0)
    assert not world.run()


def test_what_was_given_again_is_no_source_of_its_own() -> None:
    world = answered()
    world.elapsed += 3000
    call(world, "t2")
    assert one_end(world).from_ == "t1"
    world.elapsed += 601
    call(world, "t3")
    assert one_route(world).task == "t3", "an hour after the work"


def test_what_a_person_has_to_allow_is_asked_about_though_there_is_an_answer() -> None:
    world = answered()
    registered(approve=("look",))(world)
    call(world, "t2")
    (fact,) = world.run()
    assert isinstance(fact, TaskAsked)
    assert (fact.task, fact.tool) == ("t2", "look")


def registered(**fields: Any) -> Callable[[World], None]:
    return lambda world: world.register(server(**fields))


def elapsed(seconds: float) -> Callable[[World], None]:
    return lambda world: setattr(world, "elapsed", seconds)


def nothing(_: World) -> None:
    """All is as it was."""


WORK: dict[str, tuple[Callable[[World], None], dict[str, Any]]] = {
    "it is asked for": (nothing, {"fresh": True}),
    "another input": (nothing, {"arguments": {"q": 2}}),
    "another tool": (nothing, {"tool": "write"}),
    "another user": (nothing, {"user": "bob"}),
    "other demands": (nothing, {"required_capabilities": (Capability("x"),)}),
    "another server": (registered(server="s 2"), {}),
    "another endpoint": (registered(endpoint=Stdio("y")), {}),
    "another description": (registered(tools=(Tool("look", "finds more"),)), {}),
    "the host says it no more": (registered(cache={}), {}),
    "the host has cut the time": (registered(cache={"look": Cache(1)}), {}),
    "the result is deleted": (deleted("t1"), {}),
    "it is too old": (elapsed(3601), {}),
}


@pytest.mark.parametrize("why", WORK)
def test_it_is_work_where_anything_differs(why: str) -> None:
    change, fields = WORK[why]
    spec = server(capabilities=(Capability("x"),))
    world = answered(spec)
    change(world)
    if why == "the host has cut the time":
        world.elapsed = 4
    call(world, "t2", **fields)
    assert one_route(world).task == "t2"


def test_at_the_last_second_it_is_given() -> None:
    world = answered()
    world.elapsed = 3600
    call(world, "t2")
    assert one_end(world).from_ == "t1"


SECRET = StreamableHttp("https://example.org/mcp", bearer_from="MINE")
NAMED = Stdio("x", env={"KEY": "{secret:MINE}"})


@pytest.mark.parametrize(
    "fields",
    [
        {"endpoint": SECRET},
        {"endpoint": NAMED},
        {"path_arguments": {"look": ("path",)}},
        {"path_arguments": {"*": ("path",)}},
        {"cache": {"write": Cache(3600)}},
    ],
    ids=["bearer", "reference", "paths", "any paths", "another tool"],
)
def test_what_the_input_does_not_say_all_of_is_never_remembered(fields: dict[str, Any]) -> None:
    world = answered(server(**fields))
    call(world, "t2")
    assert one_route(world).task == "t2"
    assert len(world.state.answers) == 0


def test_any_tool_may_be_meant() -> None:
    world = answered(server(cache={"*": Cache(60)}), tool="write")
    call(world, "t2", tool="write")
    assert one_end(world).from_ == "t1"


def test_no_host_need_be_named() -> None:
    world = answered(server(), host=None)
    call(world, "t2", host=None)
    assert one_end(world).from_ == "t1"


def test_a_task_type_may_say_it() -> None:
    binding = TaskBinding((Step("look", {"q": "$input.q"}),), cache=Cache(60))
    world = ready(server(cache={}, task_types={"work": binding}))
    world.submit("t1")
    succeed(world, one_route(world))
    world.submit("t2")
    assert one_end(world).from_ == "t1"
    by_task = TaskBinding((Step("look", {"q": "$task"}),), cache=Cache(60))
    world.register(server(cache={}, task_types={"work": by_task}))
    world.submit("t3")
    succeed(world, one_route(world))
    world.submit("t4")
    assert one_route(world).task == "t4"


def test_nobody_gets_it_who_may_not_use_the_tool_now() -> None:
    world = answered()
    few = {"look": Access(users=("bob",))}
    world.register(server(tool_access=few))
    call(world, "t2")
    assert "not_permitted" in one_end(world).error.message
    world.register(server(enabled=False))
    call(world, "t3")
    assert world.run() == []
    world.remove("h")
    call(world, "t4")
    assert {end.outcome for end in ends(world.run())} == {Outcome.REJECTED}


def test_a_host_that_is_down_need_not_come_back_for_it() -> None:
    world = answered()
    world.health("h", HealthStatus.UNHEALTHY)
    call(world, "t2")
    assert one_end(world).from_ == "t1"


def test_others_get_it_where_the_host_says_so_and_see_not_whose_it_was() -> None:
    world = answered(server(cache=ALL))
    call(world, "t2", "bob")
    end = one_end(world)
    assert (end.from_, end.result) == ("-", ANSWER)
    assert b"alice" not in encode(end)
    call(world, "t3")
    assert one_end(world).from_ == "t1"


def test_what_lies_in_the_store_of_a_user_is_for_nobody_else() -> None:
    world = answered(server(cache=ALL), BLOB)
    call(world, "t2", "bob")
    assert one_route(world).task == "t2"
    call(world, "t3")
    assert (one_end(world).result) == BLOB


def test_nobody_else_gets_what_was_made_of_a_users_files() -> None:
    files = {"arguments": {"q": 1}, "files": {"a": {"pointer": msgspec.to_builtins(BLOB)}}}
    world = ready(server(cache=ALL))
    given = msgspec.Raw(canonical({"tool": "look"} | files))
    for task, user in (("t1", "alice"), ("t2", "bob")):
        world.submit(task, user, type="mcp.call", input=given)
        succeed(world, one_route(world))
    world.submit("t3", type="mcp.call", input=given)
    assert one_end(world).from_ == "t1"


def test_nor_what_was_asked_before_anybody_looked_at_the_input() -> None:
    binding = TaskBinding((Step("look"),), cache=Cache(60, "all"))
    world = World()
    world.lead()
    given = msgspec.Raw(canonical({"files": {"a": {"pointer": msgspec.to_builtins(BLOB)}}}))
    for task, user in (("t1", "alice"), ("t2", "bob")):
        world.submit(task, user, input=given)
    world.register(server(slots=1, cache={}, task_types={"work": binding}))
    succeed(world, one_route(world))
    assert one_route(world).task == "t2"


def test_where_the_bytes_have_moved_it_points_there() -> None:
    world = answered(result=BLOB)
    fact = ResultStored(id="m", by="results-1", user="alice", task="t1", pointer=DATASET)
    world.put(fact)
    call(world, "t2")
    assert one_end(world).result == DATASET


def test_whoever_waits_for_the_same_gets_it_with_the_first() -> None:
    world = ready(server(slots=1))
    for n in range(1, 5):
        call(world, f"t{n}")
    succeed(world, one_route(world))
    assert {(end.task, end.from_) for end in ends(world.run())} == {
        ("t2", "t1"),
        ("t3", "t1"),
        ("t4", "t1"),
    }
    assert world.run() == []


def test_a_task_that_was_tried_goes_on_trying() -> None:
    world = ready(server())
    call(world, "t1")
    world.sign(route := one_route(world))
    call(world, "t2")
    succeed(world, one_route(world))
    world.fail(route, FailureKind.TOOL, retryable=True)
    world.later(60)
    assert routes(world.run())[0].attempt == 2


def test_a_success_on_a_host_that_was_registered_anew_meanwhile_is_not_remembered() -> None:
    world = ready(server())
    call(world, "t1")
    route = one_route(world)
    world.register(server(server="s 2"))
    succeed(world, route)
    assert len(world.state.answers) == 0


def test_nor_is_one_of_a_route_that_the_new_registration_came_before() -> None:
    world = ready(server())
    call(world, "t1")
    decisions = world.decide()
    world.register(server(server="s 2"))
    (route,) = routes(world.commit(decisions))
    succeed(world, route)
    assert len(world.state.answers) == 0


def test_it_is_given_though_no_slot_is_free_anywhere() -> None:
    world = ready(server(), host("b"), rules=Settings(max_concurrent_jobs=1))
    call(world, "t1")
    succeed(world, one_route(world))
    world.submit("long", host="b")
    assert one_route(world).task == "long"
    call(world, "t2")
    assert one_end(world).from_ == "t1"


def test_the_newest_answer_is_given_and_the_oldest_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "MOST_ANSWERS", 2)
    world = answered()
    call(world, "t2", fresh=True)
    succeed(world, one_route(world))
    for n in (3, 4):
        call(world, f"t{n}", arguments={"q": n})
        succeed(world, one_route(world))
    assert [answer.task for answer in world.state.answers] == ["t3", "t4"]
    monkeypatch.setattr(answers, "MOST_ANSWERS", 20_000)
    monkeypatch.setattr(answers, "MOST_ANSWER_BYTES", 2 * ANSWER.size)
    call(world, "t5", arguments={"q": 5})
    succeed(world, one_route(world))
    assert [answer.task for answer in world.state.answers] == ["t4", "t5"]
    world.elapsed = 4000
    call(world, "t6", arguments={"q": 6})
    succeed(world, one_route(world))
    assert [answer.task for answer in world.state.answers] == ["t6"], "those were too old"


GONE: dict[str, Callable[[World], None]] = {
    "deleted": deleted("t1"),
    "another version": registered(server="s 2"),
    "forbidden": registered(tool_access={"look": Access(users=("bob",))}),
    "removed": lambda world: world.remove("h"),
}


@pytest.mark.parametrize("how", GONE)
def test_what_has_gone_by_the_time_it_is_written_is_not_given(how: str) -> None:
    world = answered()
    call(world, "t2")
    GONE[how](world)
    stored = world.run()
    assert [getattr(fact, "from_", "") for fact in stored] == [""]


def test_an_answer_that_comes_back_refused_is_decided_anew() -> None:
    world = answered()
    call(world, "t2")
    (decision,) = world.decide()
    world.cancel("t2")
    deleted("t1")(world)
    assert world.plan is not None
    world.plan.set_aside(decision.key, world.moment)
    world.later(6)
    assert one_end(world).outcome is Outcome.CANCELLED
