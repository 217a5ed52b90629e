"""Calls that kill the process they share with others: nobody else pays more than one attempt."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import FailureKind, JobDone, JobFailed, Outcome, TaskRouted
from services.router.domain import counted
from services.router.settings import Settings
from tests.unit.router.world import World, host, one_end, one_route, ready, routes

CUT = {"kind": FailureKind.CUT, "retryable": True}


class Host:
    """A host whose calls share one process, but for those that are isolated."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.running: list[TaskRouted] = []
        self.failed: Counter[str] = Counter()

    def fail(self, route: TaskRouted, *, shared: bool) -> None:
        self.running.remove(route)
        self.failed[route.task] += 1
        self.world.fail(route, **CUT, shared=shared)

    def end(self, route: TaskRouted) -> None:
        """What comes of one of the calls, and of those that are in its process."""
        if not route.task.startswith("poison"):
            self.running.remove(route)
            self.world.succeed(route)
        elif route.route.isolated:
            self.fail(route, shared=False)
        else:
            for other in [one for one in self.running if not one.route.isolated]:
                self.fail(other, shared=True)


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 6), st.integers(1, 3), st.data())
def test_an_innocent_call_is_never_cut_twice(
    innocents: int, poisons: int, slots: int, most: int, data: st.DataObject
) -> None:
    world = ready(host("a", slots), rules=Settings(max_attempts=most))
    one = Host(world)
    names = [f"good{n}" for n in range(innocents)] + [f"poison{n}" for n in range(poisons)]
    for name in data.draw(st.permutations(names)):
        world.submit(name)
    ends: dict[str, JobDone] = {}
    while len(ends) < len(names):
        facts = world.run()
        ends |= {fact.task: fact for fact in facts if isinstance(fact, JobDone)}
        for route in routes(facts):
            world.sign(route)
            one.running.append(route)
        if one.running:
            route = data.draw(st.sampled_from(one.running))
            one.end(route)
            if route not in one.running and not route.task.startswith("poison"):
                ends[route.task] = JobDone(
                    id="", by="", user="", task=route.task, outcome=Outcome.SUCCEEDED
                )
        else:
            world.later(8)
    for name in names:
        if name.startswith("good"):
            assert ends[name].outcome is Outcome.SUCCEEDED
            assert one.failed[name] <= 1
        else:
            assert ends[name].outcome is Outcome.FAILED
            assert one.failed[name] <= most + 1


def test_a_shared_end_is_not_held_against_the_task_and_the_next_is_alone() -> None:
    world = ready(host("a"), rules=Settings(max_attempts=1))
    world.submit("t1")
    first = one_route(world)
    assert not first.route.isolated
    world.fail(first, **CUT, shared=True)
    world.later(4)
    second = one_route(world)
    assert second.route.isolated
    assert counted(world.state.tasks["alice.t1"]) == 1
    world.fail(second, **CUT)
    assert one_end(world).error.code == "cut"


def test_it_stays_alone_whatever_happens_next_and_only_one_attempt_is_free() -> None:
    world = ready(host("a"), rules=Settings(max_attempts=2))
    world.submit("t1")
    world.fail(one_route(world), **CUT, shared=True)
    for kind in (FailureKind.LOST, FailureKind.UNREACHABLE):
        world.later(60)
        route = one_route(world)
        assert route.route.isolated
        world.fail(route, kind, retryable=True, shared=True)
    assert one_end(world).error.code == "unreachable"


@pytest.mark.parametrize("kind", [FailureKind.CUT, FailureKind.TIMEOUT, FailureKind.LOST])
def test_a_failure_that_nobody_shared_changes_nothing(kind: FailureKind) -> None:
    world = ready(host("a"))
    world.submit("t1")
    world.fail(one_route(world), kind, retryable=True)
    world.later(60)
    assert not one_route(world).route.isolated


def test_what_is_not_to_be_repeated_is_not_repeated_because_others_were_near() -> None:
    world = ready(host("a"))
    world.submit("t1")
    world.fail(one_route(world), FailureKind.CUT, shared=True)
    end = one_end(world)
    assert (end.outcome, end.error.code) == (Outcome.FAILED, "outcome_unknown")
    assert JobFailed not in {type(fact) for fact in world.run()}
