"""The router and what it can't read: it leaves that task alone, and decides about all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import subjects
from contracts.facts import JobDone, LogRouter, TaskRouted, decode
from services.router.domain import evolve
from tests.support import facts as make
from tests.unit.router.bench import Bench
from tests.unit.router.world import World, host

UNREAD = {
    "job.failed.alice.t1.1": {"type": "job.failed", "kind": "moved_on", "attempt": 1},
    "job.signed.alice.t1.1": {"type": "job.signed", "attempt": "one"},
    "task.routed.alice.t1.2": {"type": "task.routed", "route": "by hand"},
}


def foreign(world: World, subject: str, content: dict[str, Any]) -> int:
    """Fold what a newer release has written."""
    fact = decode(msgspec.json.encode({"id": "f", "by": "newer", **content}), subject)
    return world.put(fact).seq


def routed(world: World) -> set[tuple[str, int]]:
    facts = [record.fact for record in world.records]
    return {(f.task, f.attempt) for f in facts if isinstance(f, TaskRouted)}


@pytest.fixture
def world() -> World:
    world = World()
    world.register(host("h1", 4, "work"))
    world.submit("t1")
    world.lead()
    world.run()
    assert routed(world) == {("t1", 1)}
    return world


@pytest.mark.parametrize("subject", UNREAD)
def test_a_task_with_an_unread_fact_is_left_alone_and_others_go_on(
    world: World, subject: str
) -> None:
    foreign(world, subject, UNREAD[subject])
    assert world.state.tasks["alice.t1"].unread
    world.elapsed += 10_000_000
    assert world.decide() == [], "no deadline of it, no loss of it"
    world.submit("t2")
    world.run()
    assert routed(world) == {("t1", 1), ("t2", 1)}
    world.lead()
    world.later(10)
    assert not any(decision.key == "alice.t1" for decision in world.decide())


def test_it_goes_on_with_the_task_once_a_fact_says_where_it_stands(world: World) -> None:
    seq = foreign(world, *next(iter(UNREAD.items())))
    assert world.state.tasks["alice.t1"].head == seq, "guards name what is there"
    world.put(make.routed("alice", "t1", 2))
    assert not world.state.tasks["alice.t1"].unread
    world.put(make.failed("alice", "t1", 2, retryable=True, called=True))
    world.later(60)
    world.run()
    assert ("t1", 3) in routed(world)


def test_an_end_that_cannot_be_read_is_an_end(world: World) -> None:
    foreign(world, "job.done.alice.t1.end", {"type": "job.done", "outcome": "paused"})
    assert world.state.tasks == {}
    assert world.state.flights.total == 0


def test_a_host_whose_registration_cannot_be_read_gets_nothing(world: World) -> None:
    foreign(world, "mcp.registered.h1.2", {"type": "mcp.registered", "host": "h1", "spec": 1})
    world.submit("t2")
    world.run()
    ends = [record.fact for record in world.records if isinstance(record.fact, JobDone)]
    assert [(fact.task, fact.error and fact.error.code) for fact in ends] == [("t2", "no_host")]


def test_a_term_that_cannot_be_read_has_begun_all_the_same(world: World) -> None:
    plan = world.plan
    assert plan is not None
    foreign(world, "log.router.9", {"type": "log.router", "term": [9]})
    assert plan.over
    assert world.state.term == 9


async def test_a_router_begins_the_term_after_one_that_it_cannot_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.log.foreign("log.router.4", b'{"type":"log.router","id":"f","by":"x","term":{"n":4}}')
    await bench.register(host("h1", 4, "work"))
    async with bench.router() as router:
        assert (await bench.fact(LogRouter)).term == 5
        bench.log.foreign("job.failed.alice.t0.1", b"\xff")
        await bench.submit("t1")
        assert (await bench.fact(TaskRouted)).task == "t1"
        bench.log.foreign("job.failed.alice.t1.1", b'{"type":"job.failed","kind":"later"}')
        await bench.submit("t2")
        await bench.fact(TaskRouted, task="t2")
        assert router.status()["unread"] == 1


def test_folding_what_cannot_be_read_gives_the_same_state_each_time(world: World) -> None:
    again = World()
    for subject, content in UNREAD.items():
        foreign(world, subject, content)
    for record in world.records:
        evolve(again.state, record)
    assert again.state.tasks == world.state.tasks
    assert subjects.parse("job.done.alice.t1.end").number == 0
