"""What to do with a route, and how a failure is judged."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import FailureKind, Outcome, TaskCreated, TaskRouted, decode, encode
from contracts.host import Access, TaskBinding
from contracts.result import inline
from contracts.task import TaskSpec
from services.executor import domain
from services.executor.domain import Claim, Drop, Ended, Fail, LogView, WaitForView
from tests.unit.executor.world import host, routed, spec

NOW = 1000.0


def task(**fields: Any) -> TaskCreated:
    known: dict[str, Any] = {"user": "alice", "task": "t1", "spec": spec()}
    return TaskCreated(id="c", by="g", **known | fields)


def decide(
    route: TaskRouted, *, view: LogView | None = None, cancelled: bool = False, now: float = NOW
) -> domain.Decision:
    return domain.decide(route, cancelled, view or LogView(9, host(), 1), now)


def test_a_route_whose_host_is_as_routed_is_claimed() -> None:
    assert decide(routed("t1", spec(), timeout_s=30.0)) == Claim(host(), 30.0)


def test_a_claim_ends_with_the_task() -> None:
    decision = decide(routed("t1", spec(), timeout_s=30.0, expires=NOW + 10))
    assert decision == Claim(host(), 10.0)


def test_a_route_waits_for_the_own_view() -> None:
    assert decide(routed("t1", spec(), host_seq=12), view=LogView(9, host(), 1)) == WaitForView(12)


@pytest.mark.parametrize("view", [LogView(9, None, 0), LogView(9, host(), 5)])
def test_a_host_that_changed_since_the_route_is_gone(view: LogView) -> None:
    decision = decide(routed("t1", spec()), view=view)
    assert isinstance(decision, Fail)
    assert decision.kind is FailureKind.HOST_GONE


def test_what_is_over_is_left_alone() -> None:
    route = routed("t1", spec(), expires=NOW)
    assert isinstance(decide(route), Drop)
    assert isinstance(decide(routed("t1", spec()), cancelled=True), Drop)


def test_only_the_very_task_that_was_routed_is_run() -> None:
    route = routed("t1", spec())
    assert domain.unfit(route, task()) == ""
    assert "no such task" in domain.unfit(route, None)
    assert "no such task" in domain.unfit(route, task(invalid="not JSON"))
    assert "another input" in domain.unfit(route, task(spec=spec(input={"tool": "other"})))


@given(st.floats(1, 2e9), st.floats(0.001, 1e6))
def test_a_permit_holds_for_the_whole_attempt(now: float, lifetime_s: float) -> None:
    claims = domain.claims(routed("t1", spec()), "https://h1.example", now, lifetime_s)
    assert claims.nbf <= now < now + lifetime_s <= claims.exp <= math.ceil(now + lifetime_s)
    assert (claims.sub, claims.jti) == ("alice", "t1.1")
    assert (claims.aud, claims.host) == ("https://h1.example", "h1")


def test_facts_repeat_what_the_route_says_and_survive_the_wire() -> None:
    route = routed("t1", spec(), attempt=3)
    me = domain.Me("executor-1", "run-1")
    claims = domain.claims(route, "h1", NOW, 10)
    ended = Ended(FailureKind.TOOL, "no", called=True, retryable=False, elapsed_ms=1.23456)
    facts = [
        domain.signed(route, claims, "token", me, "f1"),
        domain.failed(route, ended, "executor-1", "f2"),
        domain.succeeded(route, inline(b"{}"), "executor-1", "f3", 5.0),
        domain.cancelled(route, "", "executor-1", "f4", 5.0),
    ]
    for fact in facts:
        assert (fact.user, fact.task, fact.attempt, fact.host) == ("alice", "t1", 3, "h1")
        assert encode(decode(encode(fact))) == encode(fact)
    assert {facts[i].input_sha256 for i in (0, 2, 3)} == {route.route.input_sha256}  # type: ignore[union-attr]
    assert facts[3].outcome is Outcome.CANCELLED  # type: ignore[union-attr]
    assert claims.exp == facts[0].expires  # type: ignore[union-attr]


def test_specs_without_an_input_have_a_digest_too() -> None:
    bare = TaskSpec(type="x")
    assert bytes(bare.input) == b"{}"
    assert msgspec.json.decode(bytes(bare.input)) == {}
    assert domain.unfit(routed("t1", bare), task(spec=bare)) == ""
    assert domain.unfit(routed("t1", bare), task())


def test_a_host_runs_nothing_for_whom_it_is_not() -> None:
    few = Access(users=("alice",), roles=("admin",), projects=("p1",))
    closed = host(access=few)
    typed = host(task_types={"mcp.call": TaskBinding(access=few)})
    tools = host(tool_access={"erase": few})
    for fields in ({"user": "alice"}, {"user": "bob", "roles": ("admin",)}):
        assert domain.unpermitted(closed, task(**fields)) == ""
        assert domain.hidden_tools(tools, task(**fields)) == frozenset()
    for one in (closed, typed):
        assert "does not serve task type" in domain.unpermitted(one, task(user="bob"))
        assert domain.unpermitted(one, task(user="bob", project="p1")) == ""
    assert domain.unpermitted(tools, task(user="bob")) == ""
    assert domain.hidden_tools(tools, task(user="bob")) == frozenset({"erase"})
    assert domain.hidden_tools(host(), task(user="bob")) == frozenset()
